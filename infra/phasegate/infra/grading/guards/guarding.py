"""Characterization tests in one grade: put beside the project's own, judged on base, counted on the change.

Called by `grade`. From here on they are tests that passed before: one that fails on the change is a regression. It must
not know who wrote them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from phasegate.infra.grading.base import BaseJudgement, judge_base
from phasegate.infra.grading.evidence import Regression
from phasegate.infra.grading.guard_summary import GuardSummary
from phasegate.infra.grading.guards.base_coverage import own_judgement
from phasegate.infra.grading.runner.attribution import attribute
from phasegate.infra.grading.runner.junit import TestCase, TestKey
from phasegate.infra.grading.runner.runner import PROBLEMS, Bench
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.verdict import regressions, without_quotes


@dataclass(frozen=True)
class GuardRuns:
    """Characterization tests on one base commit."""

    cases: Mapping[str, tuple[TestCase, ...]] = field(default_factory=dict[str, tuple[TestCase, ...]])
    """Per file, the outcomes of the first run that reported."""
    failing: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Per file, a line for each of its tests that does not pass in every run."""
    problem: str = ""
    """Reason why nothing is known of any of them: the run fails with them, or tests of the project do."""


@dataclass(frozen=True)
class Guarding:
    """A grade's characterization tests."""

    bench: Bench
    """Puts them into every checkout."""
    sealed: SealedTests
    plain: BaseJudgement | None = None
    """Base's own tests without them; `None`: there are none of them."""
    own: Mapping[str, tuple[TestKey, ...]] = field(default_factory=dict[str, tuple[TestKey, ...]])
    """Per file, its tests that pass in every run on base."""
    dropped: tuple[str, ...] = ()
    struck: tuple[str, ...] = ()
    """Files that a person struck."""

    @property
    def keys(self) -> frozenset[TestKey]:
        """All tests that count."""
        return frozenset(key for keys in self.own.values() for key in keys)

    def unquoted(self, broken: Iterable[Regression]) -> tuple[Regression, ...]:
        """Regressions, without the lines of hidden tests that their messages quote: an implementer reads them."""
        files = self.sealed.guards
        if not files:
            return tuple(broken)
        return tuple(
            regression.model_copy(update={"message": without_quotes(regression.message, files) or "it fails"})
            for regression in broken
        )

    def kept(self, change: Iterable[TestCase]) -> list[SealedFile]:
        """Files that may be released: each test in them passes on base and on the change."""
        passing = {case.key for case in change if case.status == "passed"}
        whole = {path for path, keys in self.own.items() if keys and passing.issuperset(keys)}
        whole -= {name.partition(": ")[0] for name in self.dropped}
        return [file for file in self.bench.guards if file.path in whole]

    def summary(self, change: Iterable[TestCase]) -> GuardSummary | None:
        """The numbers, or `None` if base's own tests suffice."""
        characterization = self.sealed.characterization
        if characterization is None:
            return None
        passing = {case.key for case in change if case.status == "passed"}
        return GuardSummary(
            reason=characterization.reason,
            omitted=characterization.omitted,
            project_passed=self.plain.passed if self.plain else 0,
            project_has_tests=bool(self.plain and self.plain.first.cases),
            files=tuple(sorted(path for path, keys in self.own.items() if keys)),
            passed_on_base=len(self.keys),
            still_passing=len(self.keys & passing),
            dropped=self.dropped,
            struck=self.struck,
        )


async def run_guards(
    bench: Bench, commit: str, files: Sequence[SealedFile], *, several: bool = False
) -> tuple[BaseJudgement, GuardRuns]:
    """Run characterization tests on a base commit, in several folders.

    Args:
        bench: Where.
        commit: The base commit.
        files: The tests.
        several: True to run them at least twice, whatever policy says: once tells nothing of what is unstable.

    Returns:
        The judgement of the project's own tests without them, and how they fare.

    Raises:
        ServiceFailed: A service that the tests need does not come up.
    """
    plain = await own_judgement(bench, commit)
    grading = bench.policy.grading
    rounds = max(grading.flaky_reruns, 1 if several else 0)
    policy = bench.policy.model_copy(update={"grading": grading.model_copy(update={"flaky_reruns": rounds})})
    judged = await judge_base(replace(bench, policy=policy, guards=tuple(files)), commit)
    if not judged.whole or any(run.problem for run in judged.runs):
        broken = next(run for run in judged.runs if run.problem)
        return plain, GuardRuns(problem=f"with them, {PROBLEMS[broken.problem]}: {broken.said}")
    if lost := regressions(plain.first.cases, judged.first.cases, plain):
        example = f"{lost[0].test}: {lost[0].message}"
        return plain, GuardRuns(problem=f"beside them, tests of the project do not pass any more; {example}")
    known = {case.id for case in plain.first.cases}
    attribution = attribute(judged.first.cases, SealedTests(files=tuple(files)), bench.repository.files(commit), known)
    failing = {path: tuple(_failing(judged, cases)) for path, cases in attribution.sealed.items()}
    return plain, GuardRuns(attribution.sealed, {path: lines for path, lines in failing.items() if lines})


async def with_guards(bench: Bench, commit: str, sealed: SealedTests, struck: Collection[str] = ()) -> Guarding:
    """Put the sealed characterization tests beside the project's own, those that hold on this base commit.

    Args:
        bench: Where tests are run.
        commit: The base commit; perhaps another one than they were written for.
        sealed: The sealed tests.
        struck: Files that a person struck, among other names.
    """
    gone = tuple(sorted(file.path for file in sealed.guards if file.path in struck))
    files = [file for file in sealed.guards if file.path not in gone]
    if not files:
        return Guarding(bench, sealed, await own_judgement(bench, commit) if gone else None, struck=gone)
    taken = set(bench.repository.files(commit))
    dropped = [f"{file.path}: the branch has a file of this name" for file in files if file.path in taken]
    left = [file for file in files if file.path not in taken]
    plain, runs = await run_guards(bench, commit, left)
    if runs.problem:
        dropped += [f"{file.path}: {runs.problem.splitlines()[0]}" for file in left]
        return Guarding(bench, sealed, plain, dropped=tuple(dropped), struck=gone)
    dropped += [f"{path}: {line.splitlines()[0]}" for path, lines in sorted(runs.failing.items()) for line in lines]
    unstable = {line.partition(": ")[0] for lines in runs.failing.values() for line in lines}
    own = {path: _passing(cases, unstable) for path, cases in runs.cases.items()}
    return Guarding(replace(bench, guards=tuple(left)), sealed, plain, own, tuple(dropped), gone)


def _passing(cases: Sequence[TestCase], unstable: Collection[str]) -> tuple[TestKey, ...]:
    return tuple(case.key for case in cases if case.status == "passed" and case.id not in unstable)


def _failing(judged: BaseJudgement, cases: Sequence[TestCase]) -> Iterable[str]:
    """A line for each test that does not pass in every run."""
    for case in cases:
        outcomes = judged.outcomes[case.key]
        if set(outcomes) == {"passed"} and case.key not in judged.unstable:
            continue
        if case.status == "passed":
            yield f"{case.id}: unstable, {', '.join(outcomes)} in {len(outcomes)} runs"
        else:
            yield f"{case.id}: {case.message or case.status}"
