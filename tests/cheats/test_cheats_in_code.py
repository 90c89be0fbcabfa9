"""Every cheat of `in_code.py` ends as it says."""

from __future__ import annotations

import pytest
from tests.cheats.ground import Ground, Row, check
from tests.cheats.in_code import ANSWERS, REPORTS


@pytest.mark.parametrize("row", [*REPORTS, *ANSWERS], ids=lambda row: row.name)
def test_a_cheat_is_caught(ground: Ground, row: Row) -> None:
    check(ground, row)
