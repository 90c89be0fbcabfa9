"""TOML of others: the table, or `DocumentUnreadable`.

The bounds are checked on the text's tokens before the parser runs: it recurses as deep as values nest, makes a table
for each dot of a key, and lets the error of a long number out. The tokens agree with the parser's, up to its first
error.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from phasegate.infra.documents.bounds import MIB, DocumentBounds, unreadable
from phasegate.infra.documents.text import decoded
from phasegate.infra.errors import DocumentUnreadable

TOML = DocumentBounds(size=MIB, depth=50, values=20_000, digits=100)
"""Bounds of a policy, and of any other TOML unless its reader names its own."""
_LARGEST = 2**63
_TOKEN = re.compile(
    r'(?P<text>"""(?:[^"\\]++|\\.|"(?!""))*+(?:"{3,5}|\Z)|\'\'\'(?:[^\']++|\'(?!\'\'))*+(?:\'{3,5}|\Z)'
    r'|"(?:[^"\\\n]++|\\[^\n])*+"?|\'[^\'\n]*+\'?)'
    r"|(?P<comment>#[^\n]*+)|(?P<word>[^\s\"'#\[\]{}=,.]++)|(?P<mark>[\[\]{}=,.\n])",
    re.DOTALL,
)
_INTEGER = re.compile(r"[+-]?[0-9]+|0x[0-9A-Fa-f]+|0o[0-7]+|0b[01]+")
_LINE = re.compile(r"\(at line (\d+)")


def read_toml(content: bytes | str, source: str, bounds: DocumentBounds = TOML) -> dict[str, Any]:
    """Read one TOML document.

    Args:
        content: The document; bytes are UTF-8.
        source: Name of the document in messages.
        bounds: Bounds within which it is read; each part of a dotted key counts as one level of depth.

    Raises:
        DocumentUnreadable: It is not TOML, holds an integer beyond 64 bits, or is past a bound.
    """
    text = decoded(content, source, bounds) if isinstance(content, bytes) else content
    bounds.require_size(text, source)
    _require_bounds(text, source, bounds)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = _LINE.search(str(error))
        raise unreadable(source, f"it is not TOML: {error}", int(line[1]) if line else None) from error
    except (ValueError, OverflowError) as error:  # a date or an offset that no calendar has
        raise unreadable(source, f"it is not TOML: {error}") from error
    except RecursionError as error:  # the caller's own stack is nearly full
        raise bounds.too_deep(source) from error
    return table


def toml_table_or_empty(content: bytes | str, source: str, bounds: DocumentBounds = TOML) -> dict[str, Any]:
    """Read one TOML document; an empty table stands for one that cannot be read."""
    try:
        return read_toml(content, source, bounds)
    except DocumentUnreadable:
        return {}


def _require_bounds(text: str, source: str, bounds: DocumentBounds) -> None:
    tokens = _Tokens(source, bounds)
    for token in _TOKEN.finditer(text):
        if token["mark"] is not None:
            tokens.add_mark(token["mark"])
        elif token["word"] is not None:
            tokens.add_word(token["word"])
        else:
            tokens.line += token[0].count("\n")


class _Tokens:
    """Counts of a text's tokens so far."""

    def __init__(self, source: str, bounds: DocumentBounds) -> None:
        self._source, self._bounds = source, bounds
        self.line = 1
        self._opened = self._values = 0
        self._parts = 1
        self._latest = ""
        self._in_value = False

    def add_mark(self, mark: str) -> None:
        if mark == "=":
            self._in_value = True
        elif mark in "[{":
            self._opened += 1
        elif mark in "]}":
            self._opened = max(0, self._opened - 1)
        self._parts = self._parts + 1 if mark == "." else 1
        self._values += mark in "=,["
        if self._opened + self._parts - 1 > self._bounds.depth:
            raise self._bounds.too_deep(self._source, self.line)
        if self._values > self._bounds.values:
            raise self._bounds.too_many(self._source, self.line)
        if mark == "\n":
            self.line += 1
            self._in_value = self._in_value and self._opened > 0
        self._latest = mark

    def add_word(self, word: str) -> None:
        if self._in_value and len(word) > self._bounds.digits and word.lstrip("+-")[:1].isdecimal():
            raise self._bounds.too_long_a_number(self._source, self.line)
        if self._in_value and self._latest != "." and _is_beyond_64_bits(word):
            raise unreadable(self._source, f"the number {word[:24]} does not fit into 64 bits", self.line)


def _is_beyond_64_bits(word: str) -> bool:
    plain = word.replace("_", "")
    if len(plain) < len(str(_LARGEST)) - 3 or not _INTEGER.fullmatch(plain):
        return False
    number = int(plain, 0) if plain[1] in "xob" else int(plain)
    return not -_LARGEST <= number < _LARGEST
