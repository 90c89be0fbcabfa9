"""The grade of a change: nobody grades their own work (DESIGN §1, principle 3; §5, testing).

Called by the testing stage. The sealed tests must fail on the base commit and pass on the change, what passed on base
must still pass, and whatever the implementer did to tests and their configuration is taken back first and reported. It
must not know who wrote anything, or what the verdict leads to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from phasegate.infra.grading.ablation import ablate
from phasegate.infra.grading.attribution import attribute, files_of
from phasegate.infra.grading.base_runs import BaseRuns, on_base
from phasegate.infra.grading.coverage import measure
from phasegate.infra.grading.evidence import Counts, Evidence, Finding
from phasegate.infra.grading.findings import about_criteria, about_files, about_loaded_tests, about_run
from phasegate.infra.grading.hard_coded import SealedCases
from phasegate.infra.grading.junit import TestCase
from phasegate.infra.grading.own_tests import Released, try_own_tests
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.grading.test_run import Bench
from phasegate.infra.grading.tree.graded_tree import graded_tree
from phasegate.infra.grading.trial import Trial, try_change
from phasegate.infra.grading.verdict import CriterionLike, judge_criteria
from phasegate.infra.policy.model import Policy
from phasegate.infra.sandbox import Sandbox
from phasegate.infra.workspace import ChangeSet, Repository
from phasegate.infra.workspace.change_set import readable

__all__ = ["CriterionLike", "grade"]


async def grade(
    *,
    repository: Repository,
    change: ChangeSet,
    sealed: SealedTests,
    criteria: Sequence[CriterionLike],
    policy: Policy,
    sandbox: Sandbox,
    scratch: Path,
    on_step: Callable[[str], None],
) -> Evidence:
    """Grade a change by tests that its implementer has not seen.

    Args:
        repository: Holds base commit and change.
        change: What is graded.
        sealed: The acceptance tests.
        criteria: The PRD's acceptance criteria.
        policy: Read from the base commit: setup and test commands, time-outs.
        sandbox: Where everything of the project runs; without network, but for setup where policy grants it.
        scratch: A folder for checkouts, emptied as it goes; outcomes that hold for later attempts are kept beside it.
        on_step: Told what is being done.

    Raises:
        SetupFailed: The setup command fails on the base commit, so nothing can be said about the change.
    """
    bench = Bench(repository, policy, sandbox, scratch, on_step)
    base = await on_base(bench, change.base_commit, sealed)
    known = {case.id for case in base.alone.cases}
    before = attribute(base.sealed.cases, sealed, repository.files(change.base_commit), known)
    collected = files_of(base.alone.cases, repository.files(change.base_commit))
    graded = await asyncio.to_thread(graded_tree, repository, change, policy, collected)
    trial = await try_change(bench, (change.base_commit, change.commit), graded, sealed, base)
    trouble = f"{trial.run.problem}: {trial.run.said}" if trial.run.problem else ""
    judged = judge_criteria(criteria, sealed, before, trial.told, trouble)
    failed = bool(trouble or trial.regressions) or any(result.status == "failed" for result in judged)
    failed = failed or any(finding.severity == "cheating" for finding in trial.findings)
    loaded = tuple(about_loaded_tests(graded, files_of(trial.told.project, repository.files(graded.tree))))
    failed = failed or bool(loaded)
    released = Released(graded.tree)
    if not failed:
        released = await try_own_tests(bench, change, graded, sealed, base)
    said = SealedCases.of(sealed, "\n".join(criterion.statement for criterion in criteria))
    findings = (
        *about_run("on the base commit", base.alone),
        *about_run("on the change", trial.run),
        *trial.findings,
        *loaded,
        *released.findings,
        *about_criteria(judged),
        *about_files(repository, change, graded, said),
        *(_skipped(case) for cases in trial.told.sealed.values() for case in cases if case.status == "skipped"),
    )
    ablation = coverage = None
    if not failed:
        if policy.grading.ablation_time:
            passing = [(case.id, case.file) for case in _cases(trial) if case.status == "passed"]
            ablation = await ablate(bench, change.base_commit, graded, sealed, passing)
        if policy.grading.coverage:
            coverage = await measure(bench, change.base_commit, graded, sealed)
    return Evidence(
        verdict="failed" if failed else "passed",
        change=change.commit,
        sealed_tests=sealed.digest,
        criteria=judged,
        regressions=trial.regressions,
        findings=findings,
        tree=repository.git.tree_of(released.commit),
        entered=tuple(map(readable, released.entered)),
        left_out=tuple(map(readable, sorted(graded.restored - set(released.entered)))),
        counts=_counts(base, trial),
        ablation=ablation,
        coverage=coverage,
    )


def _cases(trial: Trial) -> list[TestCase]:
    return [*trial.told.project, *(case for cases in trial.told.sealed.values() for case in cases)]


def _skipped(case: TestCase) -> Finding:
    return Finding(code="sealed-test-skipped", path=case.id, message=case.message or "skipped")


def _counts(base: BaseRuns, trial: Trial) -> Counts:
    passed = sum(case.status == "passed" for case in base.alone.cases)
    sealed = {case.id: case.status for cases in trial.told.sealed.values() for case in cases}
    return Counts(
        project_passed_on_base=passed,
        project_still_passing=passed - len(trial.regressions),
        sealed=len(sealed),
        sealed_passed=sum(status == "passed" for status in sealed.values()),
    )
