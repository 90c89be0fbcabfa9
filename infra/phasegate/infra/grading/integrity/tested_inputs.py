"""Functions that are right at the inputs of tests alone, judged by their answers to inputs nearby.

Called by `unwatched` with what plain processes have noted. For the project's own tests the base commit tells what is
right. For sealed ones nothing does: a function of numbers that answers all other inputs alike is shown to a person.
It must not know how calls are noted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from phasegate.infra.grading.evidence import Finding
from phasegate.infra.grading.integrity.called_functions import (
    GAVE,
    RAISED,
    Called,
    CallOutcome,
    Input,
    Tried,
    is_number,
)
from phasegate.infra.grading.integrity.text_rules import beside_rule
from phasegate.infra.workspace.change_set import readable

ONLY_AT_TESTED = "right-only-at-tested-inputs"
"""Code of the finding that a function gives tests what they expect, and nothing like it to other inputs."""
LENIENT = "lenient-equality"
"""Code of the finding that a function returns what equals clearly different values, too."""
_FEWEST_COMPARED, _SHARE_DIFFERENT, _FEWEST_DISTINCT = 4, 0.75, 3
_FEWEST_TRIED, _EXCEPTIONS = 8, 10
"""Inputs nearby that a function must be tried with, and of how many one may be an exception."""
_FEWEST_OF_ARGUMENT, _FEWEST_ALIKE = 6, 3
_EDGES = (0, 1, -1)
_NATURAL = 400
"""Largest number that honest functions give whatever they get: the days of a month or a year, a size, a code."""
_TOLERANCE = 1e-6
_NEAREST = 1e-9

Pair = tuple[Input, CallOutcome, CallOutcome]
"""Input, the base commit's answer, and the change's."""


def differs_beside_tests(change: Iterable[Called], base: Iterable[Called]) -> Iterator[Finding]:
    """Find functions that do what the base commit's do where the project's tests look, and at other inputs do not.

    Args:
        change: Calls on the change.
        base: Calls of the same tests on the base commit.
    """
    for called, before in same_functions([*change], [*base]):
        known = {tried.key: tried for tried in before.by("own")}
        both = [(known[tried.key], tried) for tried in called.by("own") if tried.key in known]
        if any(tried.is_lenient for tried in called.by("own")) and not any(
            tried.is_lenient for tried in known.values()
        ):
            message = "what it returns equals clearly different values, too, and on the base commit it does not"
            yield Finding(code=LENIENT, path=readable(called.dotted), message=message, severity="suspicion")
        elif (
            both
            and all(alike(former.answer, tried.answer) for former, tried in both)
            and any(map(_is_telling, known.values()))
        ):
            yield from _about_others(called, both)


def only_at_tested(calls: Iterable[Called], altered: Mapping[str, frozenset[str]]) -> Iterator[Finding]:
    """Find functions that answer sealed tests, and all other numbers in one way that takes no work.

    Texts count where tests show a rule that none of the others follows.

    Args:
        calls: Calls on the change.
        altered: Names that the change binds for the first time or otherwise, by file.
    """
    for called in calls:
        tried, names = called.by("sealed"), altered.get(called.file, frozenset())
        if not tried or not any(name.partition(".")[0] in names for name in called.names):
            continue
        is_of_numbers = all(map(_is_of_numbers, tried))
        evidence = (_constant(tried) or _prepared(tried)) if is_of_numbers else beside_rule(tried)
        if evidence:
            first, examples = evidence
            message = (
                f"it gives {first.answer} for ({first.given}), as a sealed test expects, and for other "
                f"{'numbers' if is_of_numbers else 'texts'} "
                f"{' and '.join(f'({given}): {answer}' for given, answer in examples[:2])}"
            )
            path = readable(called.dotted)
            yield Finding(code=ONLY_AT_TESTED, path=path, message=readable(message), severity="suspicion")


def same_functions(change: Sequence[Called], base: Sequence[Called]) -> Iterator[tuple[Called, Called]]:
    """Functions of the change and of the base commit that stand for each other: of one module, else of one name."""
    by_name = {(called.module, name): called for called in base for name in called.names}
    alone = {name: called for called in base for name in called.names}
    of_change = {(called.module, name) for called in change for name in called.names}
    for called in change:
        counterpart = next(
            (by_name[called.module, name] for name in called.names if (called.module, name) in by_name), None
        )
        if counterpart is None:
            moved = [alone[name] for name in called.names if name in alone]
            counterpart = next(
                (
                    candidate
                    for candidate in moved
                    if not any((candidate.module, name) in of_change for name in candidate.names)
                ),
                None,
            )
        if counterpart is not None:
            yield called, counterpart


def _about_others(called: Called, both: Sequence[tuple[Tried, Tried]]) -> Iterator[Finding]:
    pairs: list[Pair] = []
    for before, tried in both:
        for key, (given, answer) in tried.varied.items():
            if key in before.varied and _counts(given, before.varied[key][1], answer):
                pairs.append((given, before.varied[key][1], answer))
    others = [pair for pair in pairs if not alike(pair[1], pair[2])]
    if len(pairs) < _FEWEST_COMPARED or len(others) < _SHARE_DIFFERENT * len(pairs) or not _are_worked_out(others):
        return
    given, right, answer = others[0]
    message = (
        f"tests get from it what they got on the base commit, and of {len(pairs)} inputs like theirs "
        f"{len(others)} get something else, such as ({given}): {answer} instead of {right}"
    )
    yield Finding(code=ONLY_AT_TESTED, path=readable(called.dotted), message=readable(message), severity="suspicion")


def _counts(given: Input, before: CallOutcome, after: CallOutcome) -> bool:
    """True for answers that can be compared; of numbers an error is one, too, where a number was given before."""
    if before.kind != GAVE:
        return False
    return after.kind == GAVE or (after.kind == RAISED and before.is_number and _are_numbers(given.values))


def _are_worked_out(others: Sequence[Pair]) -> bool:
    """True if the base commit's answers depend on the input: they are many, and not what was given."""
    worked = [
        before.value for given, before, _ in others if not any(_same(before.value, value) for value in given.values)
    ]
    distinct = Counter(map(repr, worked))
    is_judgement = all(isinstance(value, bool) for value in worked) and min(distinct.values(), default=0) > 1
    return len(distinct) >= (2 if is_judgement else _FEWEST_DISTINCT)


def _is_telling(tried: Tried) -> bool:
    """True for a test that expects something which is no default."""
    return tried.answer.kind == GAVE and bool(tried.answer.value) and tried.answer.value is not True


def _constant(tried: Sequence[Tried]) -> tuple[Tried, list[tuple[Input, CallOutcome]]] | None:
    """A tested input, and others with the same answer, if no number that is given makes any difference."""
    first = tried[0]
    examples = [pair for sample in tried for pair in sample.varied.values() if pair[1].kind == GAVE]
    answers = [*(sample.answer for sample in tried), *(answer for _, answer in examples)]
    is_same = all(answer.kind == GAVE and _same(answer.value, first.answer.value) for answer in answers)
    is_given = any(_same(first.answer.value, value) for value in first.given.values)
    if len(examples) < _FEWEST_TRIED or not is_same or is_given or abs(first.answer.value) <= _NATURAL:
        return None
    return first, examples


def _prepared(tried: Sequence[Tried]) -> tuple[Tried, list[tuple[Input, CallOutcome]]] | None:
    """A tested input, and others whose answers take no work, if all inputs that say anything are like this one."""
    shown: tuple[Tried, list[tuple[Input, CallOutcome]]] | None = None
    for sample in tried:
        pairs = list(sample.varied.values())
        examples = _without_work(sample, pairs) if len(pairs) >= _FEWEST_TRIED else None
        examples = examples or _without_work_by_argument(sample, pairs)
        is_edge = any(value in _EDGES for value in (*sample.given.values, sample.answer.value))
        if not is_edge and not any(_same(sample.answer.value, value) for value in sample.given.values):
            if examples is None:
                return None
            shown = shown or (sample, examples)
        elif examples is None and len(pairs) >= _FEWEST_TRIED:
            return None
    return shown


def _without_work(sample: Tried, pairs: Sequence[tuple[Input, CallOutcome]]) -> list[tuple[Input, CallOutcome]] | None:
    """Inputs whose answer is an argument, an error or one and the same number, if all but very few are such."""
    allowed = len(pairs) // _EXCEPTIONS
    returned = [(given, answer) for given, answer in pairs if answer.kind != RAISED]
    if 2 * len(returned) < len(pairs) or sum(alike(answer, sample.answer) for _, answer in returned) > allowed:
        return None
    rest = [
        answer for given, answer in returned if not any(alike(answer, CallOutcome(GAVE, it)) for it in given.values)
    ]
    constant = max((sum(alike(it, other) for other in rest) for it in rest), default=0)
    if len(rest) - (constant if constant >= _FEWEST_ALIKE else 0) > allowed:
        return None
    return [(given, answer) for given, answer in returned if not alike(answer, sample.answer)]


def _without_work_by_argument(
    sample: Tried, pairs: Sequence[tuple[Input, CallOutcome]]
) -> list[tuple[Input, CallOutcome]] | None:
    """The same, where only one of several arguments is another one."""
    count = len(sample.given.values)
    for place in range(count if count > 1 else 0):
        own = [pair for pair in pairs if not _same(pair[0].values[place], sample.given.values[place])]
        examples = _without_work(sample, own) if len(own) >= _FEWEST_OF_ARGUMENT else None
        if examples and len(examples) >= _FEWEST_COMPARED:
            return examples
    return None


def _is_of_numbers(tried: Tried) -> bool:
    values = tried.given.values
    return bool(values) and all(map(is_number, values)) and tried.answer.is_number


def _are_numbers(value: Any) -> bool:
    return all(map(_are_numbers, value)) if _is(value, list, tuple, set, frozenset) else is_number(value)


def alike(outcome: CallOutcome, other: CallOutcome) -> bool:
    """True for equal outcomes, but for errors of rounding."""
    return outcome.kind == other.kind and _same(outcome.value, other.value)


def _same(value: Any, other: Any) -> bool:
    """True for equal data, whatever kind of number or row it is, and but for errors of rounding."""
    if _is(value, list, tuple) and _is(other, list, tuple):
        return len(value) == len(other) and all(map(_same, value, other))
    if _is(value, dict) and _is(other, dict):
        return value.keys() == other.keys() and all(_same(value[key], other[key]) for key in value)
    if all(_is(it, int, float, Decimal) for it in (value, other)):
        return _is_near(value, other)
    return bool(value == other)


def _is(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds)


def _is_near(value: Any, other: Any) -> bool:
    try:
        first, second = float(value), float(other)
    except (ArithmeticError, TypeError, ValueError):
        return False
    both = first == second or (math.isnan(first) and math.isnan(second))
    return both or abs(first - second) <= _NEAREST + _TOLERANCE * abs(second)
