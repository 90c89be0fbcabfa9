"""The page about what goes wrong says what the scenarios check."""

from __future__ import annotations

from tests.acceptance.scenarios.page import PAGE, page


def test_the_page_is_made_from_the_table() -> None:
    assert PAGE.read_text() == page()
