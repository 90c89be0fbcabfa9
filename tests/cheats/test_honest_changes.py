"""No honest change is flagged as cheating."""

from __future__ import annotations

import pytest
from tests.cheats.ground import Ground, Row
from tests.cheats.honest import HONEST


@pytest.mark.parametrize("row", HONEST, ids=lambda row: row.name)
def test_an_honest_change_is_not_accused(ground: Ground, row: Row) -> None:
    evidence = ground.grade(row)
    assert evidence.verdict == "passed", evidence.markdown()
    assert {finding.severity for finding in evidence.findings} <= {"note"}, evidence.markdown()
    assert {finding.code for finding in evidence.findings} <= row.notes
