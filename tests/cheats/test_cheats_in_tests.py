"""Every cheat of `in_tests.py` ends as it says.

Mutations tried: nothing is cleared away after the setup command ("has the setup compile another helper of the tests"
fails then); `about_added_lines` without `test-machinery-touched` ("loads a plugin by pyproject.toml"); git's
settings are not looked at ("adds git hooks").
"""

from __future__ import annotations

import pytest
from tests.cheats.ground import Ground, Row, check
from tests.cheats.in_tests import SETTINGS, TESTS_CHANGED


@pytest.mark.parametrize("row", [*TESTS_CHANGED, *SETTINGS], ids=lambda row: row.name)
def test_a_cheat_is_caught(ground: Ground, row: Row) -> None:
    check(ground, row)
