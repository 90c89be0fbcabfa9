"""Answers of the change's functions to inputs nearby, compared between two processes that differ in their surroundings.

Called by `unwatched` and `installed_run` with what processes have noted. A function whose answer depends on where it
runs need not show it at the inputs of tests. It must not know how calls are noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from phasegate.infra.grading.evidence import UNWATCHED, Finding
from phasegate.infra.grading.integrity.called_functions import GAVE, RAISED, Called, CallOutcome, Input
from phasegate.infra.grading.integrity.tested_inputs import alike, same_functions
from phasegate.infra.workspace.change_set import readable


@dataclass(frozen=True)
class CallDifference:
    """Input to which a function gives two answers."""

    function: str
    key: str
    """Text of the input, the same wherever it is given."""
    given: Input
    first: CallOutcome
    other: CallOutcome

    def shows_in(self, others: Iterable[CallDifference]) -> bool:
        """True if the same function gives the same two answers to the input there."""
        return any(
            (self.function, self.key) == (again.function, again.key)
            and alike(self.first, again.first)
            and alike(self.other, again.other)
            for again in others
        )

    def finding(self, first: str, other: str) -> Finding:
        """The finding about it.

        Args:
            first: Words for the process of the first answer.
            other: The same for the other.
        """
        message = f"{first} it gives {self.first} for ({self.given}), and {other} {self.other}"
        return Finding(code=UNWATCHED, path=readable(self.function), message=readable(message), severity="suspicion")


def differing_calls(
    first: Iterable[Called], other: Iterable[Called], altered: Mapping[str, frozenset[str]]
) -> list[CallDifference]:
    """Inputs to which functions of the change give two answers, one for each function.

    Args:
        first: Calls of one process.
        other: Calls of the other one.
        altered: Names that the change binds for the first time or otherwise, by file.
    """
    functions = [
        called
        for called in first
        if any(name.partition(".")[0] in altered.get(called.file, frozenset()) for name in called.names)
    ]
    pairs = same_functions(functions, [*other])
    differences = (next(_differences(called, counterpart), None) for called, counterpart in pairs)
    return [difference for difference in differences if difference is not None]


def lasting_findings(
    differences: Sequence[CallDifference], again: Iterable[CallDifference], first: str, other: str
) -> list[Finding]:
    """Findings about differences that show again.

    Args:
        differences: Differences between two processes.
        again: The same of two further processes.
        first: Words for the process of the first answer.
        other: The same for the other.
    """
    still = [*again]
    return [difference.finding(first, other) for difference in differences if difference.shows_in(still)]


def _differences(called: Called, counterpart: Called) -> Iterator[CallDifference]:
    known = {key: answer for tried in counterpart.tried for key, (_, answer) in tried.varied.items()}
    for tried in called.tried:
        for key, (given, answer) in tried.varied.items():
            if key in known and {answer.kind, known[key].kind} <= {GAVE, RAISED} and not alike(answer, known[key]):
                yield CallDifference(called.dotted, key, given, answer, known[key])
