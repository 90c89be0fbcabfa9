"""Evidence of a grade, as an artifact: equal grades have equal digests, so nothing in it depends on the clock.

Made by `grade`, read by the gate page and, through `failing`, by the implementer. It must not know how tests are run.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from phasegate.infra.artifacts import Artifact
from phasegate.infra.grading.amendments import AmendedTest
from phasegate.infra.grading.amendments_page import amended_section, declined_lines, fenced
from phasegate.infra.grading.base_summary import BaseSummary
from phasegate.infra.grading.branch_move import BranchMove
from phasegate.infra.grading.guard_summary import GuardSummary
from phasegate.infra.grading.served_summary import ServedSummary
from phasegate.infra.grading.unwatched_summary import Unwatched
from phasegate.infra.workspace.change_set import code

CriterionStatus = Literal["passed", "failed", "vacuous", "untested"]
Verdict = Literal["passed", "failed", "unproven", "unguarded"]
Severity = Literal["note", "suspicion", "cheating"]
_MARKS = {"passed": "✓", "failed": "✗", "vacuous": "○", "untested": "–"}
LOADED = "test-loaded-by-product"
"""Code of the finding that the product loads a test file, which a person may accept by the file's path."""
UNWATCHED = "behaves-otherwise-unwatched"
"""Code of the finding that a test passes in a runner only, which a person may accept by the test."""
REPLACED = "library-replaced"
"""Code of the finding that the change replaces a function of the library or the runner; accepted by its name."""
ASKS = "asks-about-surroundings"
"""Code of the note that the change asks about its surroundings what the base commit does not."""
ONLY_IN_RUNNER = "passes-in-runner-only"
"""Code of the finding that a sealed test passes in the project's runner, and in no process of ours."""
NOT_SERVED = "not-served"
"""Code of the finding that a candidate does not serve what its tests reach; accepted by the request or the setting."""
_ACCEPTABLE = (LOADED, UNWATCHED, REPLACED, NOT_SERVED)
_FOR_PEOPLE = ("right-only-at-tested-inputs",)  # its message tells inputs like those of sealed tests
_SHOWN = 20
_NAMED = 5
"""Paths shown of one kind of note."""
_FOLDED = {
    "always-equal",
    "checks-silenced",
    "clock-or-chance-pinned",
    "compiled-code",
    "environment-file",
    "environment-sniffed",
    "errors-swallowed",
    "git-settings-changed",
    "interpreter-steered",
    "link",
    "module-hidden",
    "process-ended",
    "report-touched",
    "test-file-added",
    "test-file-touched",
    "test-machinery-touched",
    "test-runner-sniffed",
    "test-settings-changed",
    "test-weakened",
    "tests-read",
}
"""Codes of what is read off a change's files, whose notes stand in short at the end of the page."""
_MEANING = {
    "unproven": ". No sealed test shows that the change does what was asked for: look at it before you approve.",
    "unguarded": ". No test of the project passed on base, so none shows that the change breaks nothing.",
}
_HEADINGS: dict[Severity, str] = {
    "cheating": "Cheating",
    "suspicion": "Look at these before you decide",
    "note": "Worth knowing",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CriterionResult(_Part):
    """An acceptance criterion and its result."""

    id: str
    statement: str
    status: CriterionStatus
    """`vacuous`: its tests pass, and passed before the change; `untested`: no sealed test names it, or
    the test command runs none of those that do."""
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
    severity: Severity = "note"
    """`note`: honest changes do this, too; `suspicion`: honest code hardly ever does, so a person is to look;
    `cheating`: shown by what was run, and fails the grade."""


class Place(_Part):
    """Some lines of a file of the change."""

    path: str
    start: int = 0
    """First line; 0: the whole file."""
    end: int = 0
    """Last line, included; before `start` where lines were only taken away after `start`."""

    def __str__(self) -> str:
        """As people say it."""
        if self.start == 0:
            return f"{code(self.path)}, the whole file"
        if self.end < self.start:
            return f"{code(self.path)}, what was taken away after line {self.start}"
        return f"{code(self.path)}, line{f's {self.start}–{self.end}' if self.end > self.start else f' {self.start}'}"


class Ablation(_Part):
    """Results of the tests with one piece of the change taken out, for each piece."""

    guarded: int = 0
    """Pieces without which some test fails."""
    unguarded: tuple[Place, ...] = ()
    """Pieces without which every test passes that passes with them."""
    untried: tuple[Place, ...] = ()
    """Pieces that the time did not suffice for."""
    survived: tuple[Place, ...] = ()
    """Of these, pieces without which the tests that load their file pass; other tests were not run."""
    left_out: tuple[str, ...] = ()
    """Files that no test is expected to notice: documentation, comments alone."""


class Coverage(_Part):
    """Changed lines that the tests run; it does not say that they check what comes of it."""

    reached: int = 0
    unreached: tuple[Place, ...] = ()
    unmeasured: tuple[str, ...] = ()
    """Changed files of code that nothing here can measure."""


class Counts(_Part):
    """Numbers of tests that the verdict rests on."""

    project_passed_on_base: int = 0
    project_still_passing: int = 0
    sealed: int = 0
    sealed_passed: int = 0


class Evidence(Artifact):
    """The grade of one change."""

    kind: ClassVar[str] = "evidence"

    verdict: Verdict
    """`unproven`: nothing failed, and no sealed test shows that the change does what was asked for.

    `unguarded`: nothing failed, and no test of the project passed on base, so nothing shows that it breaks nothing."""
    change: str
    """The commit that was graded."""
    sealed_tests: str
    """The digest of the sealed tests it was graded with."""
    criteria: tuple[CriterionResult, ...]
    regressions: tuple[Regression, ...] = ()
    amended: tuple[AmendedTest, ...] = ()
    """Existing tests that the PRD makes obsolete, each with what became of it."""
    nothing_new: bool = False
    """True where the PRD asks for no new behaviour, so that no sealed test has to fail on base."""
    findings: tuple[Finding, ...] = ()
    tree: str = ""
    """The id of the tree that was graded and is released; empty: graded before it was recorded."""
    sealed_files: tuple[str, ...] = ()
    """The sealed test files in that tree; all tests in them pass on the change."""
    held_out: tuple[str, ...] = ()
    """Sealed test files whose inputs were drawn for this grade alone; all tests in them pass, and none is released."""
    entered: tuple[str, ...] = ()
    """The change's own tests in that tree; the suite passed with them and without them."""
    left_out: tuple[str, ...] = ()
    """Paths of the change that are in that tree as they are on the base commit."""
    counts: Counts = Counts()
    ablation: Ablation | None = None
    """None: not done, because the change failed or policy gives it no time."""
    coverage: Coverage | None = None
    """None: not measured."""
    unwatched: Unwatched | None = None
    """None: nothing was compared, because the change failed, or it was graded before that was done."""
    served: ServedSummary | None = Field(default=None, exclude_if=operator.not_)
    """`None`: the project is no service, or it was not asked."""
    base: BaseSummary | None = None
    """The project's own tests on the base commit; `None`: graded before they were judged."""
    move: BranchMove | None = None
    """The base branch's move that this grade was made for; `None`: graded on the commit the run began at."""
    guards: GuardSummary | None = Field(default=None, exclude_if=operator.not_)
    """Characterization tests; `None`: base's own tests suffice, or policy wants none."""

    @property
    def needs_person(self) -> bool:
        """True where a person must decide: all but a plain pass, and a branch that moves again and again."""
        if self.verdict != "passed" or (self.move is not None and self.move.asks):
            return True
        if self.guards and self.guards.struck:
            return True
        return any(test.status in ("amended", "by-eye", "struck") for test in self.amended)

    @property
    def struck(self) -> tuple[str, ...]:
        """All that a person struck: amendments by their test, and files of characterization tests."""
        amendments = (test.test for test in self.amended if test.status == "struck")
        return (*amendments, *(self.guards.struck if self.guards else ()))

    @property
    def to_strike(self) -> tuple[str, ...]:
        """Names that a person may strike: amendments that hold, and files of characterization tests that count."""
        held = (test.test for test in self.amended if test.status in ("amended", "by-eye"))
        return (*held, *(self.guards.files if self.guards else ()))

    @property
    def to_accept(self) -> tuple[str, ...]:
        """Names that an approval of a failed grade must accept: tests, loaded test files, replaced functions."""
        if self.verdict != "failed":
            return ()
        paths = (finding.path for finding in self.findings if finding.code in _ACCEPTABLE)
        return tuple(dict.fromkeys((*(regression.test for regression in self.regressions), *paths)))

    @property
    def is_acceptable(self) -> bool:
        """True where nothing fails but what an admin may accept by name."""
        others = any(criterion.status == "failed" for criterion in self.criteria)
        others = others or any(
            finding.severity == "cheating" and finding.code not in _ACCEPTABLE for finding in self.findings
        )
        return self.verdict == "failed" and bool(self.to_accept) and not others

    def failing(self) -> str:
        """Text for the implementer: the failing criteria and messages, nothing of the sealed tests' text."""
        lines: list[str] = []
        for criterion in self.criteria:
            if criterion.status == "failed":
                lines += [f"- **{criterion.id} is not met**: {criterion.statement}", *fenced(criterion.message)]
        for regression in self.regressions[:_SHOWN]:
            lines += [f"- **A test that passed before the change fails now**: {code(regression.test)}"]
            lines += fenced(regression.message)
        if more := len(self.regressions) - _SHOWN:
            lines += [f"- … and {more} more tests that passed before."] if more > 0 else []
        lines += declined_lines(self.amended)
        lines += [_line(finding) for finding in self.findings if finding.code not in _FOR_PEOPLE]
        return "\n".join(lines) + "\n" if lines else ""

    def markdown(self) -> str:
        """The evidence as the gate page shows it."""
        lines = self.base.markdown_lines() if self.base else []
        lines += self.move.markdown_lines() if self.move else []
        lines += [f"**{self.verdict.capitalize()}**, commit `{self.change[:12]}`{_MEANING.get(self.verdict, '')}", ""]
        lines += ["| | criterion | tests |", "| --- | --- | --- |"]
        for criterion in self.criteria:
            statement = criterion.statement.replace("|", "\\|").replace("\n", " ")
            status = "" if criterion.status == "passed" else f" (*{criterion.status}*)"
            lines += [f"| {_MARKS[criterion.status]} | {criterion.id}: {statement}{status} | {len(criterion.tests)} |"]
        lines += amended_section(self.amended)
        if self.nothing_new:
            lines += ["", "Nothing new was to be proven: the PRD asks for no new behaviour."]
        counts = self.counts
        lines += ["", f"Sealed tests passing: {counts.sealed_passed} of {counts.sealed}. The project's own tests that "]
        lines[-1] += f"passed before: {counts.project_still_passing} of {counts.project_passed_on_base} still pass."
        lines += self.guards.markdown_lines() if self.guards else []
        if messages := [line for criterion in self.criteria if criterion.message for line in _told(criterion)]:
            lines += ["", *messages]
        if self.regressions:
            lines += ["", "**Passed before, not now:**", ""]
            for regression in self.regressions[:_SHOWN]:
                lines += [f"- {code(regression.test)}", *fenced(regression.message)]
            if (more := len(self.regressions) - _SHOWN) > 0:
                lines += [f"- … and {more} more"]
        folded = [finding for finding in self.findings if finding.severity == "note" and finding.code in _FOLDED]
        whole = [finding for finding in self.findings if finding.severity != "note" or finding.code not in _FOLDED]
        for severity, heading in _HEADINGS.items():
            findings = [finding for finding in whole if finding.severity == severity]
            lines += ["", f"**{heading}:**", "", *map(_line, findings)] if findings else []
        lines += self.served.markdown_lines() if self.served else []
        lines += [
            *_files(self),
            *(self.unwatched.lines(counts.project_still_passing, counts.sealed_passed) if self.unwatched else ()),
            *_guards(self.ablation),
            *_reach(self.coverage),
        ]
        return "\n".join([*lines, *_notes(folded)]) + "\n"


def _line(finding: Finding) -> str:
    where = f": {code(finding.path)}" if finding.path else ""
    return f"- {finding.code}{where}: {finding.message}"


def _notes(findings: Sequence[Finding]) -> list[str]:
    """Notes on what honest changes have as well: a line for each kind, at the end of the page."""
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.code, []).append(finding)
    lines = ["", f"**Notes, {len(findings)}; honest changes have them, too:**", ""] if findings else []
    for name, own in kinds.items():
        if len(own) == 1:
            lines.append(_line(own[0]))
            continue
        paths = list(dict.fromkeys(code(finding.path) for finding in own))
        more = f", … and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        lines.append(f"- {name}, {len(own)}: {', '.join(paths[:_NAMED])}{more}")
    return lines


def _files(evidence: Evidence) -> list[str]:
    """The tests that are released with the change, and what of it is not."""
    groups = (
        ("Sealed tests that are released with the change", evidence.sealed_files),
        ("Sealed tests with inputs drawn for this grade alone; not released", evidence.held_out),
        ("Tests of the change that go in; everything passed with them and without them", evidence.entered),
        ("Left out: graded and released as on the base commit, but for tests that are obsolete", evidence.left_out),
    )
    return [line for heading, paths in groups for line in _places(heading, [code(path) for path in paths])]


def _guards(ablation: Ablation | None) -> list[str]:
    if ablation is None:
        return []
    tried = ablation.guarded + len(ablation.unguarded)
    lines = ["", f"**Guarded by a test:** {ablation.guarded} of {tried} pieces of the change."]
    lines += _places("No test guards", ablation.unguarded)
    untried = tuple(place for place in ablation.untried if place not in ablation.survived)
    lines += _places("Not tried, the time was up", untried)
    lines += _places("Tried with the tests that load the file alone, which pass", ablation.survived)
    if ablation.left_out:
        lines += ["", f"Not code: {', '.join(map(code, ablation.left_out[:_SHOWN]))}."]
    return lines


def _reach(coverage: Coverage | None) -> list[str]:
    if coverage is None:
        return ["", "Coverage of the changed lines: not measured."]
    total = coverage.reached + sum(place.end - place.start + 1 for place in coverage.unreached)
    lines = ["", f"**Changed lines that the tests run:** {coverage.reached} of {total}."] if total else []
    lines += _places("Run by no test", coverage.unreached)
    if coverage.unmeasured:
        lines += ["", f"Coverage not measured: {', '.join(map(code, coverage.unmeasured[:_SHOWN]))}."]
    return lines


def _places(heading: str, places: Sequence[Place | str]) -> list[str]:
    if not places:
        return []
    lines = ["", f"**{heading}:**", "", *(f"- {place}" for place in places[:_SHOWN])]
    return lines + ([f"- … and {len(places) - _SHOWN} more"] if len(places) > _SHOWN else [])


def _told(criterion: CriterionResult) -> list[str]:
    return [f"- {criterion.id}:", *fenced(criterion.message)]
