from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.flows.cli.sanitize import one_line, sanitize, sanitize_name
from phasegate.flows.cli.views.diff import coloured
from phasegate.flows.cli.views.event_text import call_name
from phasegate.infra.workspace.change_set import code, readable


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
    Case("Hangul fillers", "a\u115fb\u1160c\u3164d\uffa0", "a<U+115F>b<U+1160>c<U+3164>d<U+FFA0>"),
    Case("Braille blank", "a\u2800b", "a<U+2800>b"),
    Case("other blanks", "\U00016fe4\U0001d159", "<U+16FE4><U+1D159>"),
    Case("selectors after letters", "a\ufe0fb\ufe00\U000e0100", "a<U+FE0F>b<U+FE00><U+E0100>"),
    Case("joiners between letters", "a\u200db\u200cc", "a<U+200D>b<U+200C>c"),
    Case("soft hyphen", "pass\xadword", "pass<U+00AD>word"),
    Case("grapheme joiner", "a\u034fb", "a<U+034F>b"),
    Case("Khmer and Mongolian", "\u17b4\u17b5\u180b\u180e", "<U+17B4><U+17B5><U+180B><U+180E>"),
    Case("invisible operators", "a\u2061b\u2062\u2063\u2064", "a<U+2061>b<U+2062><U+2063><U+2064>"),
    Case("isolates", "a\u2066b\u2069\u061c", "a<U+2066>b<U+2069><U+061C>"),
    Case("marks of shorthand and music", "\U0001bca0\U0001d173", "<U+1BCA0><U+1D173>"),
    Case("unassigned and private", "a\ufff0b\ue000", "a<U+FFF0>b<U+E000>"),
    Case("annotations", "\ufff9a\ufffb\ufeff", "<U+FFF9>a<U+FFFB><U+FEFF>"),
    Case("emoji with a selector", "\u2764\ufe0f and 1\ufe0f\u20e3", "\u2764\ufe0f and 1\ufe0f\u20e3"),
    Case("emoji with joiners", "\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
    Case("emoji with a skin", "\U0001f44d\U0001f3fd", "\U0001f44d\U0001f3fd"),
    Case("a selector too many", "\u2764\ufe0f\ufe0f", "\u2764\ufe0f<U+FE0F>"),
    Case("a joiner behind an emoji", "\U0001f469\u200da", "\U0001f469<U+200D>a"),
    Case("a flag of tags", "\U0001f3f4\U000e0067\U000e007f", "\U0001f3f4<U+E0067><U+E007F>"),
    Case("half a character", "a\ud800", "a<U+D800>"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_acts_is_made_to_show(case: Case):
    """Mutation tried: no table of ignorable characters; no blanks; emoji with anything behind them."""
    assert case.shown == sanitize(case.text)


@given(st.text())
def test_nothing_but_lines_and_tabs_is_left_that_a_terminal_obeys(text: str):
    pictures = range(0x1F000, 0x1FB00)  # emoji of a later Unicode have no name here, and are shown
    shown = [character for character in sanitize(text) if ord(character) not in pictures]
    assert all(character.isprintable() or character in "\n\t" or character.isspace() for character in shown)
    assert not set(sanitize(text)) & {chr(code) for code in [*range(9), *range(11, 32), *range(127, 160)]}


@given(st.text(), st.integers(1, 50))
def test_one_line_is_one_line_and_no_wider_than_asked(text: str, width: int):
    line = one_line(text, width)
    assert len(line) <= width
    assert line.splitlines() in ([], [line])


HIDING = ["\u3164", "\u2800", "\ufe0f", "\u200d", "\xad", "\u034f", "\U000e0041", "\u2064", "\u180e", "\u202e"]


@pytest.mark.parametrize("character", HIDING)
def test_a_name_hides_nothing(character: str):
    """Not even between emoji. Mutation tried: `readable` and the lines of a diff that name a file as any other text."""
    name = f"\u2764{character}\u2764.py"
    diff = coloured(f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\nrename to {name}\n+text\n").plain
    shown = [sanitize_name(name), readable(name), code(name), diff, call_name({"args": {"path": name}})]
    assert not [text for text in shown if character in text]


def test_a_diff_keeps_emoji_in_text_and_shows_what_hides_there():
    shown = coloured("+a = '\u2764\ufe0f'\n+b\u3164 = 1\n").plain
    assert shown == "+a = '\u2764\ufe0f'\n+b<U+3164> = 1\n"
