"""Makes text from tickets, models and tools safe to print: nothing in it can steer the terminal or hide.

Called wherever the command line prints text that it did not write itself. Control characters (escape, bell, direction
overrides, …) are shown as symbols instead of dropped. So the text that an approver reads is the text that is stored.
"""

from __future__ import annotations

import re
import unicodedata

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_LINE_END = re.compile(r"\r\n|[\u2028\u2029]")
_SUSPECT = re.compile(r"[^\x20-\x7e\n\t]")


def sanitize(text: str) -> str:
    """The text with colour codes removed and every other control character shown as a symbol; lines and tabs stay."""
    return _SUSPECT.sub(_shown, _LINE_END.sub("\n", _COLOUR.sub("", text)))


def one_line(text: str, width: int = 100) -> str:
    """The text as a single plain line of at most `width` characters, cut with an ellipsis."""
    line = " ".join(sanitize(text).split())
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _shown(match: re.Match[str]) -> str:
    character = match[0]
    if not unicodedata.category(character).startswith("C"):  # controls, direction overrides, zero width, unassigned
        return character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)  # Unicode's pictures of the control characters
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else f"<U+{code:04X}>"
