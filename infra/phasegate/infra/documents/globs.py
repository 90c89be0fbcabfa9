"""Globs of others: which paths match, in time that grows with the pattern's length times the path's.

A pattern becomes a regular expression where it has few wildcards. With many, a regular expression tries each way to
share the path among them, so the states of all wildcards are followed at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

LONGEST = 1_000
"""Characters of a pattern."""
MOST_WILDCARDS = 20
"""Wildcards of a pattern."""
_FEW = 2
"""Wildcards of which a regular expression tries all ways soon enough; a `**/` in front does not count."""
_WILDCARDS = {"**/", "**", "*"}
_PARTS = re.compile(r"(\*\*/|\*\*|\*|\?|\[[^]/]+\])")


def require_glob(pattern: str) -> str:
    """Check a pattern.

    Raises:
        ValueError: It is too long, has too many wildcards, or a set of characters that is none.
    """
    if len(pattern) > LONGEST:
        raise ValueError(f"must be a pattern of at most {LONGEST:,} characters")
    parts = _parts(pattern)
    if sum(part.startswith("*") for part in parts) > MOST_WILDCARDS:
        raise ValueError(f"must be a pattern with at most {MOST_WILDCARDS} wildcards")
    try:
        for part in parts:
            re.compile(_part(part))
    except re.error as error:
        raise ValueError(f"must be a pattern, and one of its sets of characters is none: {error}") from error
    return pattern


def glob_matches(pattern: str, path: str) -> bool:
    """True if a path, or a folder it lies in, matches a pattern.

    Args:
        pattern: Relative to a root: `*` and `?` stop at `/`, `**` does not.
        path: Relative to the same root, with `/`.
    """
    return bool(_compiled(pattern)(path))


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Callable[[str], object]:
    parts = _parts(pattern)
    try:
        if sum(part.startswith("*") for part in parts[parts[:1] == ["**/"] :]) <= _FEW:
            return re.compile("".join(map(_part, parts)) + r"(?:/.*)?", re.DOTALL).fullmatch
        return _States(parts).fullmatch
    except re.error:  # a set that is none, of a policy that was stored before sets were checked
        return re.compile(re.escape(pattern) + r"(?:/.*)?", re.DOTALL).fullmatch


def _parts(pattern: str) -> list[str]:
    return [part for part in _PARTS.split(pattern.removeprefix("./").strip("/")) if part]


def _part(part: str) -> str:
    match part:
        case "**/":
            return r"(?:.*/)?"
        case "**":
            return r".*"
        case "*":
            return r"[^/]*"
        case "?":
            return r"[^/]"
        case _ if _is_set(part):
            return _set(part[1:-1])
        case _:
            return re.escape(part)


def _set(characters: str) -> str:
    """A set of characters as a regular expression has it: `a-z` is a range, `!` in front takes all others."""
    negated = len(characters) > 1 and characters[0] in "!^"
    pattern, rest = "[^" if negated else "[", characters[negated:]
    while rest:
        if len(rest) > 2 and rest[1] == "-":
            pattern, rest = f"{pattern}{re.escape(rest[0])}-{re.escape(rest[2])}", rest[3:]
        else:
            pattern, rest = f"{pattern}{re.escape(rest[0])}", rest[1:]
    return f"{pattern}]"


def _is_set(part: str) -> bool:
    return len(part) > 2 and part.startswith("[") and part.endswith("]") and _PARTS.fullmatch(part) is not None


class _States:
    """All places that a pattern may have come to."""

    def __init__(self, parts: list[str]) -> None:
        self._steps: list[tuple[str, re.Pattern[str] | None]] = []
        for part in parts:
            if part in _WILDCARDS:
                self._steps.append((part, None))
            elif part == "?" or _is_set(part):
                self._steps.append((part, re.compile(_part(part), re.DOTALL)))
            else:
                self._steps += [(character, None) for character in part]
        self._end = len(self._steps)

    def fullmatch(self, path: str) -> bool:
        """True if the pattern matches the whole path, or a folder it lies in."""
        reached, folders = self._closed({0}), set[int]()
        for character in path:
            if self._end in reached and character == "/":
                return True
            folders |= {state for state in reached if state < self._end and self._steps[state][0] == "**/"}
            fresh = {behind for state in reached if (behind := self._behind(state, character)) is not None}
            if character == "/":
                fresh |= {state + 1 for state in folders}
            reached = self._closed(fresh)
        return self._end in reached

    def _behind(self, state: int, character: str) -> int | None:
        """The state behind a character, or `None` if it does not fit."""
        if state == self._end:
            return None
        step, pattern = self._steps[state]
        if pattern is not None:
            return state + 1 if pattern.fullmatch(character) else None
        if step == "**" or (step == "*" and character != "/"):
            return state
        return state + 1 if step == character else None

    def _closed(self, states: set[int]) -> set[int]:
        """The states, and those behind wildcards that match nothing."""
        closed = set(states)
        for first in states:
            state = first
            while state < self._end and self._steps[state][0] in _WILDCARDS:
                state += 1
                closed.add(state)
        return closed
