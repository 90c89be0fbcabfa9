from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.flows.cli.sanitize import one_line, sanitize


@dataclass(frozen=True)
class Case:
    name: str
    text: str
    shown: str


CASES = [
    Case("ordinary text", "Straße, 東京 and 🎉", "Straße, 東京 and 🎉"),
    Case("lines and tabs", "a\tb\nc", "a\tb\nc"),
    Case("colour goes", "\x1b[31;1mred\x1b[0m", "red"),
    Case("cursor movement shows", "a\x1b[2Ab", "a␛[2Ab"),
    Case("a terminal title shows", "\x1b]0;owned\x07", "␛]0;owned␇"),
    Case("an overwritten line shows", "safe\rdanger", "safe␍danger"),
    Case("line ends of other systems", "a\r\nb\u2028c", "a\nb\nc"),
    Case("eight-bit controls", "\x9b2J", "<U+009B>2J"),
    Case("delete", "a\x7f", "a␡"),
    Case("reversed text", "a\u202eb", "a<U+202E>b"),
    Case("invisible text", "a\u200bb\U000e0041", "a<U+200B>b<U+E0041>"),
    Case("half a character", "a\ud800", "a<U+D800>"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_acts_is_made_to_show(case: Case):
    assert case.shown == sanitize(case.text)


@given(st.text())
def test_nothing_but_lines_and_tabs_is_left_that_a_terminal_obeys(text: str):
    assert all(character.isprintable() or character in "\n\t" or character.isspace() for character in sanitize(text))
    assert not set(sanitize(text)) & {chr(code) for code in [*range(9), *range(11, 32), *range(127, 160)]}


@given(st.text(), st.integers(1, 50))
def test_one_line_is_one_line_and_no_wider_than_asked(text: str, width: int):
    line = one_line(text, width)
    assert len(line) <= width
    assert line.splitlines() in ([], [line])
