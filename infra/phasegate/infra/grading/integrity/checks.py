"""Checks that the tests of a file make: what they compare, and how much each of them asks.

Called by `test_comparison`. Reads text alone and runs nothing. It must not know what a change did to a test.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

TRIVIAL, WEAK, PARTIAL, EXACT = range(4)
"""Strengths: holds always; asks for something at all; asks for a part or a bound; asks for one value."""
_HELPER = re.compile(r"_?(?:assert|check|verify|expect|ensure|validate|compare)\w*", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z_]\w*|\d+(?:\.\d+)?")
_DEEPEST = 4


@dataclass(frozen=True)
class Expectation:
    """A comparison or another expectation in a test."""

    text: str
    """Its source without blanks, with one kind of quotes."""
    subject: frozenset[str]
    """Names that it calls or reads from something."""
    strength: int
    slack: float = 0.0
    """Distance by which a number may be off."""

    @property
    def shape(self) -> tuple[frozenset[str], bool]:
        """The check's form, with its values left out."""
        return self.subject, self.strength == EXACT


@dataclass(frozen=True)
class TestBody:
    """A test, or a function beside tests, as it stands in a file."""

    __test__ = False  # pytest would take it for a test

    path: str
    name: str
    text: str
    checks: tuple[Expectation, ...]
    calls: frozenset[str]
    """Names of all functions it calls."""
    is_test: bool = True
    """False for a helper, which counts through the tests that call it."""
    is_skipped: bool = False
    """True where it never runs, or its failure counts for nothing, on no condition."""
    cases: int = 1
    """Number of times it runs with values that stand in its file, as far as that can be read."""
    patched: frozenset[str] = frozenset()
    """Names that it replaces by something else."""

    @cached_property
    def words(self) -> frozenset[str]:
        """The words and numbers in its text."""
        return frozenset(_WORD.findall(self.text))

    @cached_property
    def lines(self) -> frozenset[str]:
        """Its lines that say something, without blanks."""
        return frozenset(squeezed(line) for line in self.text.splitlines() if len(line.strip()) >= 8)

    @property
    def asks(self) -> bool:
        """True where some check of it can fail."""
        return any(check.strength > TRIVIAL for check in self.checks)


def squeezed(text: str) -> str:
    """A text without blanks, with one kind of quotes."""
    return re.sub(r"\s+", "", text).replace("'", '"').replace(",)", ")").replace(",]", "]").replace(",}", "}")


def is_helper_name(name: str) -> bool:
    """True for the name of a function that checks something by its name."""
    return _HELPER.fullmatch(name) is not None


def with_helpers(bodies: Iterable[TestBody]) -> list[TestBody]:
    """Give each test the checks of the helpers that it calls, too; helpers are left out then.

    Args:
        bodies: The tests and helpers of all files that are known.
    """
    bodies = list(bodies)
    helpers: dict[str, list[TestBody]] = {}
    for body in bodies:
        if not body.is_test and body.name:
            helpers.setdefault(body.name.rpartition("::")[2], []).append(body)
    return [
        replace(body, checks=(*body.checks, *_reached(body, helpers, frozenset())))
        for body in bodies
        if body.is_test or not body.name
    ]


def _reached(body: TestBody, helpers: Mapping[str, Collection[TestBody]], seen: frozenset[str]) -> list[Expectation]:
    if len(seen) >= _DEEPEST:
        return []
    expectations: list[Expectation] = []
    for name in sorted((body.calls & helpers.keys()) - seen):
        own = [helper for helper in helpers[name] if helper.path == body.path] or list(helpers[name])
        expectations += own[0].checks
        expectations += _reached(own[0], helpers, seen | {name})
    return expectations
