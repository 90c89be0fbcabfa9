"""What grading found out, as an artifact: equal grades have equal digests, so nothing in it depends on the clock.

Made by `grade`, read by the gate page and, through `failing`, by the implementer. It must not know how tests are run.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from phasegate.infra.artifacts import Artifact
from phasegate.infra.workspace.change_set import code

CriterionStatus = Literal["passed", "failed", "vacuous", "untested"]
_MARKS = {"passed": "✓", "failed": "✗", "vacuous": "○", "untested": "–"}
_SHOWN = 20


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CriterionResult(_Part):
    """One acceptance criterion."""

    id: str
    statement: str
    status: CriterionStatus
    """`vacuous`: its tests pass, and passed before the change; `untested`: no sealed test names it."""
    tests: tuple[str, ...] = ()
    """The sealed tests that count for it."""
    message: str = ""
    """Why it failed, or what is odd about it."""


class Regression(_Part):
    """A test of the project that passed on the base commit and does not on the change."""

    test: str
    message: str


class Finding(_Part):
    """Something a person should know before deciding."""

    code: str
    """A stable word, such as `test-file-touched`."""
    path: str = ""
    message: str


class Counts(_Part):
    """How many tests the verdict rests on."""

    project_passed_on_base: int = 0
    project_still_passing: int = 0
    sealed: int = 0
    sealed_passed: int = 0


class Evidence(Artifact):
    """The grade of one change."""

    kind: ClassVar[str] = "evidence"

    verdict: Literal["passed", "failed"]
    change: str
    """The commit that was graded."""
    sealed_tests: str
    """The digest of the sealed tests it was graded with."""
    criteria: tuple[CriterionResult, ...]
    regressions: tuple[Regression, ...] = ()
    findings: tuple[Finding, ...] = ()
    counts: Counts = Counts()

    def failing(self) -> str:
        """What the implementer is told: the failing criteria and messages, nothing of the sealed tests' text."""
        lines: list[str] = []
        for criterion in self.criteria:
            if criterion.status == "failed":
                lines += [f"- **{criterion.id} is not met**: {criterion.statement}", *_quoted(criterion.message)]
        for regression in self.regressions[:_SHOWN]:
            lines += [f"- **A test that passed before the change fails now**: {code(regression.test)}"]
            lines += _quoted(regression.message)
        if more := len(self.regressions) - _SHOWN:
            lines += [f"- … and {more} more tests that passed before."] if more > 0 else []
        for finding in self.findings:
            lines += [f"- {finding.code}{': ' + code(finding.path) if finding.path else ''}: {finding.message}"]
        return "\n".join(lines) + "\n" if lines else ""

    def markdown(self) -> str:
        """The evidence as the gate page shows it."""
        lines = [f"**{self.verdict.capitalize()}**, commit `{self.change[:12]}`", ""]
        lines += ["| | criterion | tests |", "| --- | --- | --- |"]
        for criterion in self.criteria:
            statement = criterion.statement.replace("|", "\\|").replace("\n", " ")
            status = "" if criterion.status == "passed" else f" (*{criterion.status}*)"
            lines += [f"| {_MARKS[criterion.status]} | {criterion.id}: {statement}{status} | {len(criterion.tests)} |"]
        counts = self.counts
        lines += ["", f"Sealed tests passing: {counts.sealed_passed} of {counts.sealed}. The project's own tests that "]
        lines[-1] += f"passed before: {counts.project_still_passing} of {counts.project_passed_on_base} still pass."
        if told := [line for criterion in self.criteria if criterion.message for line in _told(criterion)]:
            lines += ["", *told]
        if self.regressions:
            lines += ["", "**Passed before, not now:**", ""]
            for regression in self.regressions[:_SHOWN]:
                lines += [f"- {code(regression.test)}", *_quoted(regression.message)]
            if (more := len(self.regressions) - _SHOWN) > 0:
                lines += [f"- … and {more} more"]
        if self.findings:
            lines += ["", "**Worth knowing:**", ""]
            for finding in self.findings:
                lines += [f"- {finding.code}{': ' + code(finding.path) if finding.path else ''}: {finding.message}"]
        return "\n".join(lines) + "\n"


def _told(criterion: CriterionResult) -> list[str]:
    return [f"- {criterion.id}:", *_quoted(criterion.message)]


def _quoted(message: str) -> list[str]:
    """An untrusted message as a fenced block inside a list item that it cannot end."""
    if not message:
        return []
    longest = max((len(run) for run in re.findall(r"`+", message)), default=0)
    fence = "`" * max(3, longest + 1)
    return ["", f"  {fence}", *(f"  {line}" for line in message.splitlines()), f"  {fence}", ""]
