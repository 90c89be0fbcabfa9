"""Comparison of a change's tests with its base's: which went, and which ask for less than they did.

Called by `test_edits` with all test files that a change touched, since an honest one moves, renames, splits, joins and
parametrises tests. A test is followed by its name, then by its text, then by its checks. It must not know what
follows from the answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from phasegate.infra.grading.integrity.checks import EXACT, PARTIAL, TRIVIAL, WEAK, Expectation, TestBody, with_helpers
from phasegate.infra.grading.integrity.checks_python import python_tests
from phasegate.infra.grading.integrity.checks_text import text_tests

_LARGEST = 2_000_000
_ALIKE = 0.6
"""Share of words that two texts have in common where one comes from the other."""
_DOUBLE, _SAME_NAMED = 0.85, 0.75
"""The same where one only repeats the other."""
_WIDE = 1.0
"""Distance by which a number may be off where it had to be equal before."""
_INVERTED = re.compile(
    r"should_panic|catch_unwind|\b(?:it|test)\.(?:failing|fails)\b|@Test\(\s*expected\s*=\s*(?:Exception|Throwable)\b"
)
_CONDITIONAL = re.compile(
    r"skip_?(?:if|unless)\b|#\[cfg\(|\b(?:t|this)\.skip\(|\bt\.Skip|runIf\b|EnabledIf|DisabledIf", re.IGNORECASE
)
_FOUND = 0.5
"""Share of a test's checks or lines that are found in other tests where it was taken apart."""


@dataclass(frozen=True)
class Loss:
    """A base test that went, or that asks for less."""

    path: str
    name: str
    reason: str
    is_certain: bool = True
    """False where honest changes often look so."""
    is_gone: bool = False
    """True for a test that is nowhere any more."""


def read_tests(path: str, text: str) -> list[TestBody]:
    """The tests and helpers of a file.

    Args:
        path: Tells the language by its suffix.
        text: Its content; a very large one is left alone.
    """
    if len(text) > _LARGEST:
        return []
    return python_tests(path, text) if path.endswith(".py") else text_tests(path, text)


def losses(before: Mapping[str, str], after: Mapping[str, str], gone: Collection[str] = ()) -> list[Loss]:
    """Tell what a change's tests check less than the base commit's.

    Args:
        before: Path and content of the test files that the change touched, on the base commit.
        after: The same in the change.
        gone: Words that the change's product no longer has: what tested them goes with them.
    """
    base, change = (
        with_helpers(body for path, text in side.items() for body in read_tests(path, text)) for side in (before, after)
    )
    return list(_Comparison.of(base, change, frozenset(gone)).losses())


@dataclass(frozen=True)
class _Comparison:
    before: Sequence[TestBody]
    after: Sequence[TestBody]
    moved: Sequence[TestBody]
    """Tests with the name of a test which is gone from its place."""
    new: Sequence[TestBody]
    """Tests with a name that no test of the base commit has."""
    gained: Counter[str] = field(repr=False)
    """Checks that the change has more often, by their text."""
    shapes: Mapping[tuple[frozenset[str], bool], int] = field(repr=False)
    lines: frozenset[str] = field(repr=False)
    """Lines that only the change's tests have."""
    gone: frozenset[str]

    @classmethod
    def of(cls, before: Sequence[TestBody], after: Sequence[TestBody], gone: frozenset[str]) -> _Comparison:
        known = {(body.path, body.name) for body in before}
        running = [body for body in after if not body.is_skipped]
        gained = Counter(check.text for body in running for check in body.checks if check.strength)
        gained -= Counter(check.text for body in before for check in body.checks)
        there = {(body.path, body.name) for body in after}
        gone_names = {_last(body) for body in before if (body.path, body.name) not in there}
        new = [body for body in running if (body.path, body.name) not in known]
        shapes = Counter(
            check.shape for body in running for check in body.checks if check.strength and check.text in gained
        )
        lines = frozenset(line for body in running for line in body.lines)
        lines -= frozenset(line for body in before for line in body.lines)
        moved = [body for body in new if body.name and _last(body) in gone_names]
        fresh = [body for body in new if body not in moved]
        return cls(before, after, moved, fresh, gained, shapes, lines, gone)

    def losses(self) -> Iterator[Loss]:
        """Each base test that went or asks for less."""
        kept: dict[tuple[str, str], list[TestBody]] = {}
        for body in self.after:
            kept.setdefault((body.path, body.name), []).append(body)
        changed: list[TestBody] = []
        for body in self.before:
            same = kept.get((body.path, body.name), [])
            if body in same:
                same.remove(body)  # titles may stand more than once in a file
            elif not body.is_skipped:
                changed.append(body)
        for body in changed:
            same = kept.get((body.path, body.name), [])
            follower = same.pop(_most_alike(body, same)[1]) if same else self._follower(body)
            if follower is None:
                yield from self._about_lost(body)
            elif reason := self._weaker(body, follower):
                is_same = _last(body) == _last(follower) or _likeness(body, follower) > _SAME_NAMED
                yield Loss(body.path, body.name, reason[0], is_certain=reason[1] and is_same)

    def _follower(self, body: TestBody) -> TestBody | None:
        named = [other for other in self.moved if _last(other) == _last(body)]
        likely = named or [other for other in self.new if bool(other.name) == bool(body.name)]
        likeness, number = _most_alike(body, likely)
        return likely[number] if likeness >= (_FOUND if named else _ALIKE) else None

    def _about_lost(self, body: TestBody) -> Iterator[Loss]:
        if not body.checks or self._is_found(body) or self._is_double(body):
            return
        name = body.name or "what the file checks"
        is_besides = not body.name and any(other.path == body.path and other.name for other in self.before)
        is_certain = not is_besides and not self.gone & body.words
        yield Loss(body.path, body.name, f"{name} is gone", is_certain=is_certain, is_gone=True)

    def _is_found(self, body: TestBody) -> bool:
        """True if most of what a test checks is checked in other tests now, or most of its lines stand there."""
        checks = [check for check in body.checks if check.strength]
        kept_checks = [check for check in checks if check.text in self.gained or self.shapes.get(check.shape)]
        lines = body.lines
        return (
            (bool(checks) and len(kept_checks) > len(checks) * _FOUND)
            or (bool(lines) and len(lines & self.lines) >= len(lines) * _FOUND)
            or any(self._replaces(other, body) for other in self.new)
        )

    def _replaces(self, other: TestBody, body: TestBody) -> bool:
        """True if a new test calls most of what another one did or is named so, and checks as strictly."""
        strictest = max((check.strength for check in body.checks), default=TRIVIAL)
        as_strict = any(check.strength >= strictest for check in other.checks)
        own = {word for check in body.checks for word in check.subject} | body.calls
        named = _name_words(body)
        same_calls = bool(own) and len(own & other.words) >= len(own) * _ALIKE
        same_name = len(named) > 1 and len(named & _name_words(other)) > len(named) * _ALIKE
        return as_strict and (same_calls or same_name)

    def _is_double(self, body: TestBody) -> bool:
        """True if a test that stays says nearly the same."""
        least = {True: _SAME_NAMED, False: _DOUBLE}
        checks, lines = ({text.lower() for text in texts} for texts in (_texts(body), body.lines))
        return any(
            _likeness(body, other) > least[other.name == body.name]
            or (
                checks <= {text.lower() for text in _texts(other)}
                and len(lines & {line.lower() for line in other.lines}) > len(lines) * _FOUND
            )
            for other in self.after
            if not other.is_skipped
        )

    def _weaker(self, body: TestBody, follower: TestBody) -> tuple[str, bool] | None:  # noqa: PLR0911 - in turn
        name = body.name or "the file"
        if follower.is_skipped:
            return f"{name} is skipped", True
        if _INVERTED.search(follower.text) and not _INVERTED.search(body.text):
            return f"{name} is expected to fail", True
        if body.asks and not follower.asks:
            return f"{name} checks nothing any more", True
        new_patches = follower.patched - body.patched
        if patched := new_patches & {word for check in follower.checks for word in check.subject}:
            return f"{name} replaces {', '.join(sorted(patched))}, which it checks", True
        removed, added = self._difference(body, follower)
        if not removed:
            return self._less_often(body, follower)
        if any(check.strength == TRIVIAL for check in added):
            return f"{name} has a check that always holds in the place of one that did not", True
        certain = not self.gone & {word for check in removed for word in check.subject}
        if any(_asks_less(check, added) for check in removed):
            return f"{name} asks for less", certain
        if any(max(other.strength for other in added) < check.strength for check in removed if added):
            return f"{name} asks for less", False
        if len(removed) > len(added) and not any(check.strength == EXACT for check in added):
            return f"{name} has fewer checks", False
        return None

    def _less_often(self, body: TestBody, follower: TestBody) -> tuple[str, bool] | None:
        name = body.name or "the file"
        if follower.cases < body.cases:
            return f"{name} has fewer cases", False
        if _CONDITIONAL.search(follower.text) and not _CONDITIONAL.search(body.text):
            return f"{name} is skipped on a condition", False
        return None

    def _difference(self, body: TestBody, follower: TestBody) -> tuple[list[Expectation], list[Expectation]]:
        """Checks that went from a test and are found in no other, and those that came to it."""
        left = Counter(check.text for check in follower.checks)
        removed: list[Expectation] = []
        for check in body.checks:
            if left[check.text]:
                left[check.text] -= 1
            elif check.strength:
                removed.append(check)
        added = [check for check in follower.checks if left[check.text]]
        own = Counter(check.text for check in added)
        others = self.gained - own
        return [check for check in removed if not others[check.text]], added


def _name_words(body: TestBody) -> set[str]:
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", _last(body))
    return {word.lower() for word in words} - {"test", "tests", "it", "should", "the", "a"}


def _texts(body: TestBody) -> list[str]:
    return [check.text for check in body.checks]


def _last(body: TestBody) -> str:
    """A test's own name, without its classes'."""
    return body.name.rpartition("::")[2]


def _asks_less(check: Expectation, added: Sequence[Expectation]) -> bool:
    """True if what took a check's place asks for much less of the same."""
    about = [other for other in added if other.subject & check.subject] or added
    if not about or check.strength < PARTIAL:
        return False
    best = max(about, key=lambda other: other.strength)
    wider = best.slack >= (check.slack * 10 or _WIDE) and bool(best.subject & check.subject)
    return best.strength <= WEAK < check.strength or wider


def _most_alike(body: TestBody, others: Sequence[TestBody]) -> tuple[float, int]:
    """Likeness and place of the test that says most of what another one does."""
    return max(((_likeness(body, other), number) for number, other in enumerate(others)), default=(0.0, 0))


def _likeness(body: TestBody, other: TestBody) -> float:
    words = body.words, other.words
    return len(words[0] & words[1]) / max(1, len(words[0] | words[1]))
