"""Makes text from tickets, models and tools safe to read: nothing in it can steer a terminal, act on a page, or hide.

Called wherever a person reads what phasegate did not write itself. A character that acts, or that shows nothing, is
shown as a symbol or as its code point instead of dropped: the text that an approver reads is the text that is stored.
"""

from __future__ import annotations

import re
import unicodedata

_IGNORABLE = (
    (0xAD, 0xAD),
    (0x34F, 0x34F),
    (0x61C, 0x61C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
"""Source: Unicode 14, DerivedCoreProperties.txt, `Default_Ignorable_Code_Point`, generated from it."""
_BLANK = (0x2800, 0x16FE4, 0x1D159)
"""Letters and symbols whose picture is empty: Braille blank, Khitan filler, musical null notehead."""

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_LINE_END = re.compile(r"\r\n|[\u2028\u2029]")
_PICTURE = (
    "[\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030"
    "\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_SELECTED = f"{_PICTURE}\ufe0f?[\U0001f3fb-\U0001f3ff]?"
_EMOJI = f"{_SELECTED}(?:\u200d{_SELECTED})*|[0-9#*]\ufe0f\u20e3"
"""Emoji whose picture takes a selector or joiners: they may stay in a text, and never in a file's name."""
_SUSPECT = re.compile(f"(?P<emoji>{_EMOJI})|[^\\x20-\\x7e\\n\\t]")


def sanitize(text: str) -> str:
    """The text with colour codes removed and each character that acts or shows nothing visible; lines and tabs stay."""
    return _SUSPECT.sub(_shown, _LINE_END.sub("\n", _COLOUR.sub("", text)))


def sanitize_name(text: str) -> str:
    """As `sanitize`, for a file's name and other identifiers: selectors and joiners of emoji are made visible, too."""
    return "".join(_spelled(character) if shows_nothing(character) else character for character in sanitize(text))


def shows_nothing(character: str) -> bool:
    """True if a reader sees nothing in a character's place, or only what it does to others."""
    code = ord(character)
    if unicodedata.category(character).startswith("C") and character not in "\n\t":
        return True
    return code in _BLANK or any(first <= code <= last for first, last in _IGNORABLE)


def _shown(match: re.Match[str]) -> str:
    text = match[0]
    return text if match["emoji"] or not shows_nothing(text) else _spelled(text)


def _spelled(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)  # Unicode's pictures of the control characters
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else f"<U+{code:04X}>"
