"""Runs of the tests on the change, and checks on the reports about it.

Called by `grade`. A report is written by a process that the change's code runs in; so tests that must fail are planted
among the sealed ones, and a report that has them passing, or not at all, is forged. It must not know the rules
of the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from phasegate.infra.grading.base import function_of
from phasegate.infra.grading.base_runs import BaseRuns, not_always_passing
from phasegate.infra.grading.evidence import Finding, Regression
from phasegate.infra.grading.integrity.canaries import (
    Planted,
    agreeing,
    attribute_planted,
    is_broken,
    language,
    masked,
    own_cases,
    passing,
    plant_canaries,
    plant_counter_tests,
)
from phasegate.infra.grading.integrity.rewriting import about_rewriting
from phasegate.infra.grading.runner.attribution import Attribution, files_of
from phasegate.infra.grading.runner.junit import TestCase
from phasegate.infra.grading.runner.narrowing import unneeded_tests
from phasegate.infra.grading.runner.runner import Bench, Checkout, TestRun, require_services
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.grading.tree.graded_tree import GradedTree
from phasegate.infra.grading.verdict import regressions

_UNPROVEN = "no test that must fail could be planted, so a forged report would not be noticed"
_FORGED = (
    "a test that was planted to fail is reported as passed: whatever ran in the tests' process decides what is reported"
)
_LOST = "a test that was planted to fail is missing from the report: something keeps failures out of it"
_NAMED = 10
"""Unsteady tests that are named one by one."""
_AGREES = "with its expectations made wrong it still passes: what it checks agrees with anything"


@dataclass(frozen=True)
class Trial:
    """Result of the runs on the change."""

    run: TestRun
    """The run with the sealed tests, without what was planted."""
    told: Attribution
    regressions: tuple[Regression, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Told:
    run: TestRun
    planted: Planted
    cases: Attribution
    """With the planted tests among the sealed ones."""


async def try_change(
    bench: Bench,
    commits: tuple[str, str],
    graded: GradedTree,
    sealed: SealedTests,
    base: BaseRuns,
    matching: frozenset[str] | None = None,
) -> Trial:
    """Run the tests on the change.

    Args:
        bench: Where.
        commits: The base commit and the change.
        graded: The change's tree with its tests as on base.
        sealed: The sealed tests.
        base: How they fare on the base commit.
        matching: Ids of the criteria that ask for objects which equal others; `None`: not known.
    """
    trier = _Trier(bench, *commits, graded, sealed, base, matching)
    first = await trier.run("change-with-sealed-tests", trier.canaries())
    findings = [*trier.about_report(first), *trier.about_rewriting(first.run)]
    own = {case.key for file in first.planted.files for case in first.cases.sealed[file.path]}
    judged = first
    if own and trier.is_cut_short(first):
        judged = await trier.run("change-with-sealed-tests", Planted())  # the runner stops at the first failure
    elif trier.has_trouble(first) and trier.has_copies(first.planted):
        # perhaps because a canary's copy of the sealed tests was in their way
        judged = await trier.run("change-with-sealed-tests", trier.canaries(alone=True))
        findings += [*trier.about_report(judged), *trier.about_rewriting(judged.run)]
    broken = regressions(base.alone.cases, judged.cases.project, base.judgement)
    if broken and judged.run.problem != "setup-failed":
        # perhaps for the sealed tests' presence only: the project's tests get a run of their own
        alone = require_services(
            await trier.bench.run(Checkout("change", graded.tree, graded.belongs_to_tests, origin="change"))
        )
        again = regressions(base.alone.cases, alone.cases, base.judgement)
        broken, flaky = await trier.without_flaky(again)
        findings += flaky
        findings += _about_recovered(judged, alone, base)
    sealed_pass = all(case.status == "passed" for file in sealed.files for case in judged.cases.sealed[file.path])
    if sealed_pass and not broken and not judged.run.problem:
        findings += await trier.counter()
    kept = {file.path: judged.cases.sealed[file.path] for file in sealed.files}
    return Trial(judged.run, Attribution(kept, judged.cases.project), broken, tuple(dict.fromkeys(findings)))


@dataclass(frozen=True)
class _Trier:
    bench: Bench
    base_commit: str
    commit: str
    graded: GradedTree
    sealed: SealedTests
    base: BaseRuns
    matching: frozenset[str] | None = None

    async def run(self, name: str, planted: Planted, left_out: frozenset[str] = frozenset()) -> _Told:
        replaced = {file.path for file in planted.files}
        kept = SealedTests(files=tuple(file for file in self.sealed.files if file.path not in replaced))
        checkout = Checkout(
            name, self.graded.tree, self.graded.belongs_to_tests, kept, planted.files, left_out, "change"
        )
        run = masked(require_services(await self.bench.run(checkout)), planted)
        known = {case.id for case in self.base.alone.cases}
        files = self.bench.repository.files(self.commit)
        return _Told(run, planted, attribute_planted(run.cases, kept, planted, files, known))

    @property
    def taken(self) -> list[str]:
        """Paths at which nothing can be planted."""
        return self.bench.repository.files(self.graded.tree)

    def canaries(self, *, alone: bool = False) -> Planted:
        """The canaries of the languages in which one failed on the base commit as it must; others break runs."""
        beside = self.sealed.or_guards(self.bench.guards)
        alone = alone or not self.sealed.files
        return plant_canaries(beside, self.taken, alone=alone, languages=self.base.armed)

    def about_report(self, outcome: _Told) -> Iterator[Finding]:
        """Check that planted tests, which must fail, are reported to fail."""
        if outcome.run.problem:
            return
        canaries = [file for file in outcome.planted.canaries if language(file.path) in self.base.armed]
        known = [case for run in (self.base.alone, self.base.sealed) for case in run.cases]
        known_to_fail = {case.id for case in known if _fails(case)}
        functions = {function_of(case.id) for case in known}  # a failure of an unknown test excuses nothing
        besides = [case for case in outcome.cases.project if function_of(case.id) in functions]
        besides += [case for file in self.sealed.files for case in outcome.cases.sealed[file.path]]
        may_be_cut_short = any(_fails(case) and case.id not in known_to_fail for case in besides)
        outcomes = {
            file.path: own_cases(outcome.planted, file, outcome.cases.sealed) for file in outcome.planted.canaries
        }
        if any(case.status == "passed" for cases in outcomes.values() for case in cases):
            yield Finding(code="report-forged", message=_FORGED, severity="cheating")
        for canary in canaries:
            others = [file for file in self.sealed.files if language(file.path) == language(canary.path)]
            lost = not outcomes[canary.path] or is_broken(canary, outcome.cases.sealed)
            guarded = not self.sealed.files and any(case.status == "passed" for case in outcome.cases.project)
            if lost and not may_be_cut_short and (guarded or passing(others, outcome.cases.sealed)):
                yield Finding(code="report-forged", message=_LOST, severity="cheating")
        failed = any(outcomes[file.path] for file in canaries)
        if failed and self.base.ends_badly and outcome.run.exit_code == 0:
            message = "tests fail, and the test command's exit code says that none did"
            yield Finding(code="exit-code-contradicts", message=message, severity="suspicion")
        if not canaries:
            yield Finding(code="report-unproven", message=_UNPROVEN)
        elif alone := [file.path for file in self.sealed.files if language(file.path) not in self.base.armed]:
            yield Finding(code="report-unproven", path=", ".join(alone), message=_UNPROVEN)

    def is_cut_short(self, outcome: _Told) -> bool:
        """True if tests are missing that perhaps only a planted failure has kept from running."""
        missing = any(not outcome.cases.sealed[file.path] for file in self.sealed.files)
        return missing and not outcome.run.problem and bool(outcome.run.cases)

    def has_trouble(self, outcome: _Told) -> bool:
        """True if a test that counts does not pass."""
        cases = [case for file in self.sealed.files for case in outcome.cases.sealed[file.path]]
        broken = regressions(self.base.alone.cases, outcome.cases.project)
        return bool(outcome.run.problem or broken) or any(case.status != "passed" for case in cases)

    def has_copies(self, planted: Planted) -> bool:
        """True if a canary's file holds the tests of a sealed one, which then run twice."""
        return any(file.content in canary.content for file in self.sealed.files for canary in planted.canaries)

    async def without_flaky(self, broken: tuple[Regression, ...]) -> tuple[tuple[Regression, ...], list[Finding]]:
        """Tell tests that fail now and then on the base commit, too, from those that the change breaks."""
        if not broken:
            return broken, []
        unsteady = await not_always_passing(self.bench, self.base_commit)
        flaky = {id for id, _ in unsteady}  # noqa: A001 - a test's id
        message = "it fails now and then on the base commit, too; its failure here does not count"
        findings = [
            Finding(code="flaky-test", path=regression.test, message=message)
            for regression in broken
            if regression.test in flaky
        ]
        return tuple(regression for regression in broken if regression.test not in flaky), findings

    def all_pass(self, outcome: _Told) -> bool:
        """True if every sealed file yields tests, and all of them pass."""
        return not outcome.run.problem and all(
            (cases := outcome.cases.sealed[file.path]) and {case.status for case in cases} == {"passed"}
            for file in self.sealed.files
        )

    async def _with_few_tests(self, planted: Planted) -> _Told | None:
        """Run counter-tests without the project's tests.

        The code under test can see that tests are missing. So the sealed tests have to pass without them, too.

        Returns:
            `None` if the run would tell nothing.
        """
        collected = files_of(self.base.alone.cases, self.bench.repository.files(self.base_commit))
        wanted = {file.path: file.content for file in (*self.sealed.files, *planted.files)}
        repository, command = self.bench.repository, self.bench.policy.project.test
        left_out = unneeded_tests(repository, self.graded.tree, collected - self.graded.product, wanted, command)
        if not left_out or not self.all_pass(await self.run("change-with-few-tests", self.canaries(), left_out)):
            return None
        outcome = await self.run("change-with-counter-tests", planted, left_out)
        outcomes = [outcome.cases.sealed[file.path] for file in planted.files]
        broken = any(not cases or any(case.status == "error" for case in cases) for cases in outcomes)
        return None if outcome.run.problem or broken else outcome

    def about_rewriting(self, run: TestRun) -> Iterator[Finding]:
        """Findings about files of tests that a run wrote to."""
        return about_rewriting(run, self.base.all)

    async def counter(self) -> list[Finding]:
        """Try the sealed tests with wrong expectations, where there are such."""
        planted = plant_counter_tests(self.sealed, self.canaries(), self.taken, self.matching)
        if not planted.counters:
            return []
        outcome = await self._with_few_tests(planted) or await self.run("change-with-counter-tests", planted)
        vacuous = {case.name for case in self.base.sealed.cases if case.status == "passed"}
        return [
            *self.about_report(outcome),
            *self.about_rewriting(outcome.run),
            *(
                Finding(code="counter-test-passed", path=name, message=_AGREES, severity="cheating")
                for _, name in agreeing(planted, outcome.cases.sealed)
                if not any(known.partition("[")[0] == name for known in vacuous)
            ),
        ]


def _fails(case: TestCase) -> bool:
    return case.status in ("failed", "error")


def _about_recovered(beside: _Told, alone: TestRun, base: BaseRuns) -> Iterable[Finding]:
    """Tests that passed on base, failed beside the sealed tests, and passed in a run of their own."""
    failed = {regression.test for regression in regressions(base.alone.cases, beside.cases.project, base.judgement)}
    failed &= {case.id for case in beside.cases.project if _fails(case)}
    passed = {case.id for case in alone.cases if case.status == "passed"}
    message = "it failed beside the sealed tests and passed without them, both times on the change"
    tests = sorted(failed & passed)
    named = [Finding(code="unsteady-test", path=test, message=message) for test in tests[:_NAMED]]
    more = f"so it is with {len(tests) - _NAMED} further tests"
    return [*named, *([Finding(code="unsteady-test", message=more)] if len(tests) > _NAMED else [])]
