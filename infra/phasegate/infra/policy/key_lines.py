"""On which line of a TOML text each key stands; tomllib keeps none.

Called by `load`, with text tomllib has already accepted: what stands here may rely on every bracket being closed.
It must not know what the keys mean.
"""

from __future__ import annotations

import re
from bisect import bisect_left

from phasegate.infra.documents.toml_text import read_toml

Path = tuple[str | int, ...]

_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")
_SPACE = re.compile(r"[ \t\r]+")
_BLANK = re.compile(r"(?:\s+|#[^\n]*)+")


def key_lines(text: str) -> dict[Path, int]:
    """The line, from 1, of every table, key and array element.

    Args:
        text: Valid TOML.

    Returns:
        Path to line; the elements of arrays, arrays of tables included, are numbered from 0. A table that is only
        implied (`a` in `[a.b]`) has the line of the header that implies it.
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[Path, int] = {}
        self._tables_in: dict[Path, int] = {}
        self._line_ends = [match.start() for match in re.finditer("\n", text)]

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._key_and_value(table)
        return self._lines

    def _header(self) -> Path:
        of_array = self._text.startswith("[[", self._at)
        self._at += 2 if of_array else 1
        names = self._key()
        self._at += 2 if of_array else 1
        path: Path = ()
        for depth, name in enumerate(names, start=1):
            path = (*path, name)
            self._note(path)
            if of_array and depth == len(names):
                self._tables_in[path] = self._tables_in.get(path, 0) + 1
            if path in self._tables_in:  # a header below an array of tables means its latest table
                path = (*path, self._tables_in[path] - 1)
                self._note(path)
        return path

    def _key_and_value(self, table: Path) -> None:
        path = table
        for name in self._key():
            path = (*path, name)
            self._note(path)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        match self._text[self._at]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._take(_STRING)
            case _:
                self._take(_SCALAR)

    def _array(self, path: Path) -> None:
        self._at += 1
        index = 0
        while self._next_item("]"):
            self._note((*path, index))
            self._value((*path, index))
            index += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while self._next_item("}"):
            self._key_and_value(path)

    def _next_item(self, closing: str) -> bool:
        self._skip(_BLANK)
        if self._text[self._at] == ",":
            self._at += 1
            self._skip(_BLANK)
        if self._text[self._at] == closing:
            self._at += 1
            return False
        return True

    def _key(self) -> list[str]:
        names: list[str] = []
        while True:
            self._skip(_SPACE)
            if self._text[self._at] in "\"'":
                names.append(read_toml(f"key = {self._take(_STRING)}", "a key")["key"])
            else:
                names.append(self._take(_BARE_KEY))
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return names
            self._at += 1

    def _note(self, path: Path) -> None:
        self._lines.setdefault(path, bisect_left(self._line_ends, self._at) + 1)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        if match := pattern.match(self._text, self._at):
            self._at = match.end()
        return self._at

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"not TOML at character {self._at}")
        self._at = match.end()
        return match[0]
