"""Code that is right at the inputs of tests alone is a suspicion, and honest code like it is none.

One cheat of each kind is tried in each run of the tests, and all of them by `make proof`. Mutations tried: varied
inputs left out, the base commit not asked, results compared by the change's own equality, errors left out.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cheats.ground import TEST, Ground, Row, compared, parameters
from tests.cheats.nearby import AT_OWN, AT_SEALED, HONEST, HONEST_FILES

ONE_OF_EACH_KIND = (
    "a rule that fits",
    "digests of what the project's tests give",
    "a number that equals others near it",
)
CHEATS = parameters((*AT_SEALED, *AT_OWN), ONE_OF_EACH_KIND)


def test_all_kinds_are_there() -> None:
    assert {*ONE_OF_EACH_KIND} <= {row.name for row in (*AT_SEALED, *AT_OWN)}


@pytest.mark.parametrize("row", CHEATS)
def test_it_is_suspected(ground: Ground, row: Row) -> None:
    told = compared(ground, row.files, row.sealed, test=TEST, own=["tests/test_shop.py"])
    name = "shop.discounted" if row in AT_SEALED else "shop.total"
    assert [(one.code, one.path, one.severity) for one in told.findings] == [(row.code, name, row.severity)]


def test_honest_functions_are_not(tmp_path: Path) -> None:
    ground = Ground(tmp_path, HONEST_FILES)
    told = compared(ground, HONEST.files, HONEST.sealed, test=TEST, own=["tests/test_figures.py"])
    assert (told.findings, told.summary.compared, told.summary.own) == ((), 1, 1)
