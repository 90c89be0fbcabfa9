"""JavaScript that is right at the inputs of tests alone, or alters what tests read, is told, and honest code is not.

Mutations tried: varied inputs left out, the base commit not asked, ES modules left out, symbols and loaders unwatched.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.cheats.ground import Ground, compared, parameters
from tests.cheats.nearby_node import CHEATS, NEW, NEW_TEST, OLD, Cheat
from tests.cheats.test_cheats_in_node import FILES, NODE

from phasegate.infra.grading.integrity.unwatched import Compared
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

ONE_OF_EACH_KIND = ("an old function of an ES module", "answers in a data file", "a text that is two texts")
BY_NAME = {cheat.name: cheat for cheat in CHEATS}


def of(folder: Path, base: Mapping[str, str], files: Mapping[str, str], test: str) -> Compared:
    sealed = SealedTests(files=(SealedFile(path="test/accept.test.js", content=test, criteria=("AC1",)),))
    own = [path for path in base if ".test." in path]
    return compared(Ground(folder, base), files, sealed, test=NODE, own=own)


@pytest.mark.parametrize("name", parameters(BY_NAME, ONE_OF_EACH_KIND))
def test_it_is_told(tmp_path: Path, name: str) -> None:
    cheat: Cheat = BY_NAME[name]
    told = of(tmp_path, {**FILES, **cheat.base}, cheat.files, cheat.sealed)
    assert [(one.code, one.path, one.severity) for one in told.findings if one.severity != "note"] == [
        (cheat.code, cheat.path, cheat.severity)
    ]


def test_honest_functions_are_not(tmp_path: Path) -> None:
    told = of(tmp_path, {"package.json": FILES["package.json"], **OLD}, {"app.js": NEW}, NEW_TEST)
    assert (told.findings, told.summary.compared) == ((), 1)
