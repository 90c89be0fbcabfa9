"""Every cheat of `watched.py` fails, and honest code like it passes.

Mutations tried: see `watched.py`'s rows, each of which varies one thing that a plain process has otherwise.
"""

from __future__ import annotations

import pytest
from tests.cheats.ground import Ground, Row, check
from tests.cheats.watched import HONEST, REPLACING, WATCHED


@pytest.mark.parametrize("row", [*WATCHED, *REPLACING], ids=lambda row: row.name)
def test_a_cheat_is_caught(ground: Ground, row: Row) -> None:
    check(ground, row)


@pytest.mark.parametrize("row", HONEST, ids=lambda row: row.name)
def test_honest_code_passes(ground: Ground, row: Row) -> None:
    evidence = ground.grade(row)
    assert evidence.verdict == "passed", evidence.markdown()
    assert not [finding for finding in evidence.findings if finding.severity != "note"], evidence.markdown()
    assert evidence.unwatched
    assert evidence.unwatched.compared == 3
