"""Tests of Rust that stand inside product files, and the same files with the base commit's tests in their place.

Called by `inline_run`. Edits text alone and runs nothing. A file is left alone where its text leaves doubt about what
belongs to the tests.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

_MODULE = re.compile(
    r"(?m)^[ \t]*#\[cfg\(test\)\][ \t]*\n(?:[ \t]*(?:#\[[^\n]*\]|//[^\n]*)[ \t]*\n)*"
    r"[ \t]*(?:pub(?:\([^)\n]*\))? )?mod (?P<name>\w+)[ \t]*(?P<opening>[{;])"
)
_SKIPPED = re.compile(
    r"//[^\n]*|/\*.*?\*/|b?r(?P<marks>#*)\".*?\"(?P=marks)|b?\"(?:[^\"\\]|\\.)*\"|b?'(?:[^'\\\n]|\\(?:x..|u\{[^}]*\}|.))'",
    re.DOTALL,
)
"""Comments, texts and characters, in which a brace is no brace; a lifetime is none of them."""


def with_tests_of(before: str, after: str) -> str | None:
    """Put one text's test modules into another, and take out those that it has besides.

    Args:
        before: The base commit's text of a file; empty where it has none.
        after: The change's.

    Returns:
        The change's text with the base commit's test modules, or `None` if it has them already, or in case of doubt.
    """
    old, new = _modules(before), _modules(after)
    if old is None or new is None or not new.keys() | old.keys():
        return None
    text = after
    for name, (start, end) in sorted(new.items(), key=lambda item: item[1], reverse=True):
        kept = before[slice(*old[name])] if name in old else ""
        text = text[:start] + kept + text[end:]
    return text if text != after else None


def is_test_module(path: str, read: Callable[[str], str]) -> bool:
    """Tell if a file is a module that its parent loads for tests alone, as in `#[cfg(test)] mod tests;`.

    Args:
        path: The file's.
        read: A file's text; empty where there is none.
    """
    folder, name = posixpath.split(path)
    stem = name.removesuffix(".rs")
    if stem == "mod":
        folder, stem = posixpath.split(folder)
    parents = [posixpath.join(folder, parent) for parent in ("lib.rs", "main.rs", "mod.rs")]
    return any(
        module["name"] == stem and module["opening"] == ";"
        for parent in (*parents, f"{folder}.rs")
        for module in _MODULE.finditer(read(parent))
    )


def _modules(text: str) -> dict[str, tuple[int, int]] | None:
    """Places of the test modules, by name; `None` in case of doubt."""
    places: dict[str, tuple[int, int]] = {}
    at = 0
    while match := _MODULE.search(text, at):
        at = match.end()
        if match["opening"] == ";":
            continue
        end = _closed(text, at)
        if end is None or match["name"] in places:
            return None
        places[match["name"]] = (match.start(), end)
        at = end
    return places


def _closed(text: str, at: int) -> int | None:
    """The place behind the brace that closes the one before a place."""
    depth = 1
    while at < len(text):
        if text[at] in "{}":
            depth += 1 if text[at] == "{" else -1
            at += 1
            if depth == 0:
                return at
        elif text[at] in "/br\"'" and (match := _SKIPPED.match(text, at)) and not _within_word(text, at):
            at = match.end()
        else:
            at += 1
    return None


def _within_word(text: str, at: int) -> bool:
    return text[at] in "br" and text[at - 1 : at].isidentifier()
