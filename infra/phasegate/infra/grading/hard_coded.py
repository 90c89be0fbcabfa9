"""Whether a change holds the very cases that the sealed tests try: what goes in, and what is to come out.

Called by `findings`. The implementer never sees sealed tests, but reads what failed of them. Only cases that a table
of answers would need both ends of are compared, and only ends that do not meet by chance. What is found names lines of
the change and quotes no test, since the implementer may read it. It must not know how a test fared.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from phasegate.infra.grading.added import Hunk
from phasegate.infra.grading.evidence import Finding
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.workspace.change_set import readable

_SHORTEST_TEXT = 4
_SMALLEST_NUMBER = 1000
_APART = 3
"""Lines between the two ends of one entry of a table, at most."""


@dataclass(frozen=True)
class SealedCases:
    """Calls with constants that the sealed tests compare with a constant."""

    cases: frozenset[tuple[str, str]]
    """Source of an argument and of the result, as Python writes them."""

    @classmethod
    def of(cls, sealed: SealedTests, said: str) -> Self:
        """The cases of all sealed Python tests.

        Args:
            sealed: The tests.
            said: What is no secret: a result that is said there tells nothing.
        """
        found = {case for file in sealed.files if file.path.endswith(".py") for case in _cases(file.content)}
        return cls(frozenset(case for case in found if case[1].strip("'\"") not in said))

    def about(self, path: str, pieces: Sequence[Hunk]) -> Iterator[Finding]:
        """The lines of one file's change that hold such a case."""
        lines = [line for piece in pieces for line in piece.added]
        held: list[int] = []
        for given, expected in self.cases:
            ends = [[number for number, text in lines if _holds(text, end)] for end in (given, expected)]
            held += [out for into in ends[0] for out in ends[1] if 0 <= out - into <= _APART]
        if held:
            shown = ", ".join(map(str, sorted(set(held))[:5]))
            message = f"it holds what a sealed test puts in and what it expects (line {shown})"
            yield Finding(code="sealed-case-hard-coded", path=readable(path), message=message, severity="suspicion")


def _cases(source: str) -> Iterator[tuple[str, str]]:
    try:
        module = ast.parse(source)
    except SyntaxError:
        return
    for node in ast.walk(module):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
            for call, result in ((node.left, node.comparators[0]), (node.comparators[0], node.left)):
                if isinstance(call, ast.Call) and isinstance(result, ast.Constant) and _tells(result.value):
                    for given in (*call.args, *(keyword.value for keyword in call.keywords)):
                        if isinstance(given, ast.Constant) and isinstance(given.value, str | int | float):
                            yield repr(given.value), repr(result.value)


def _tells(value: object) -> bool:
    if isinstance(value, str):
        return len(value) >= _SHORTEST_TEXT
    return isinstance(value, int | float) and abs(value) >= _SMALLEST_NUMBER


def _holds(text: str, end: str) -> bool:
    if end[0] in "'\"":
        return any(f"{quote}{end[1:-1]}{quote}" in text for quote in "'\"`")
    return re.search(rf"(?<![\w.]){re.escape(end)}(?![\w.])", text.replace("_", "")) is not None
