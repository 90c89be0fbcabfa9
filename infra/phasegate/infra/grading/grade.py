"""The grade of a change: nobody grades their own work (principle 3 in docs/promises.md).

Called by the testing stage. The sealed tests must fail on the base commit and pass on the change, what passed on base
must still pass, and whatever the implementer did to tests and their configuration is undone first and reported. It must
not know who wrote anything, or what the verdict leads to.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from phasegate.infra.grading.amendment_run import (
    Amending,
    apply_amendments,
    compared_by_eye,
    refused_amendments,
    regressions_of_refused,
)
from phasegate.infra.grading.base_runs import BaseRuns, on_base
from phasegate.infra.grading.change_run import Trial
from phasegate.infra.grading.evidence import Counts, CriterionResult, Evidence, Finding, Verdict
from phasegate.infra.grading.further_checks import FurtherChecks, Passed, check_further
from phasegate.infra.grading.guard_summary import GuardSummary
from phasegate.infra.grading.guards.coverage import CoverageMeasurement
from phasegate.infra.grading.guards.guarded_trial import try_guarded
from phasegate.infra.grading.guards.guarding import Guarding, with_guards
from phasegate.infra.grading.guards.touched_lines import with_touched_lines
from phasegate.infra.grading.heldout import is_held_out
from phasegate.infra.grading.inline_run import with_base_inline_tests
from phasegate.infra.grading.integrity.canaries import language
from phasegate.infra.grading.integrity.findings import about_criteria, about_files, about_loaded_tests, about_run
from phasegate.infra.grading.integrity.hard_coded import SealedCases
from phasegate.infra.grading.integrity.heuristics import asks_for_matcher
from phasegate.infra.grading.own_tests import Released, try_own_tests, with_sealed_tests
from phasegate.infra.grading.runner.attribution import attribute, files_of
from phasegate.infra.grading.runner.junit import TestCase
from phasegate.infra.grading.runner.runner import Bench
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.tree.graded_tree import graded_tree
from phasegate.infra.grading.verdict import CriterionLike, judge_criteria, without_quotes
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
    nothing_new: bool = False,
    struck: Collection[str] = (),
    bases: Path | None = None,
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
        nothing_new: True where the PRD asks for no new behaviour, so that no sealed test has to fail on base.
        struck: Amendments that a person struck, by their test, and files of characterization tests.
        bases: Keeps judgements of base commits for all runs; `None`: beside the scratch folder.

    Raises:
        SetupFailed: The setup command fails on the base commit, so nothing can be said about the change.
        ServiceFailed: A service that the tests need does not come up, which is no fault of the change.
    """
    guarding = await with_guards(
        Bench(repository, policy, sandbox, scratch, on_step, bases), change.base_commit, sealed, struck
    )
    bench = guarding.bench
    base = await on_base(bench, change.base_commit, sealed)
    known = {case.id for case in base.alone.cases}
    before = attribute(base.sealed.cases, sealed, repository.files(change.base_commit), known)
    collected = files_of(base.alone.cases, repository.files(change.base_commit))
    graded = await asyncio.to_thread(graded_tree, repository, change, policy, collected)
    graded, about_inline = await with_base_inline_tests(bench, change, graded)
    amending = await apply_amendments(bench, change, graded, sealed, base, struck)
    graded, compared = amending.graded, amending.base
    matching = frozenset(criterion.id for criterion in criteria if asks_for_matcher(criterion.statement))
    began = time.monotonic()
    trial = await try_guarded(guarding, (change.base_commit, change.commit), graded, sealed, compared, matching)
    seconds = time.monotonic() - began
    amending = refused_amendments(compared_by_eye(amending, trial.told.project), before, trial.told)
    broken = (*guarding.unquoted(trial.regressions), *regressions_of_refused(amending))
    trouble = without_quotes(f"{trial.run.problem}: {trial.run.said}", sealed.guards) if trial.run.problem else ""
    unseen = [
        file.path for file in sealed.files if language(file.path) not in base.armed and not before.sealed[file.path]
    ]
    judged = judge_criteria(criteria, sealed, before, trial.told, trouble, unseen)
    failed = bool(trouble or broken) or any(result.status == "failed" for result in judged)
    failed = failed or any(finding.severity == "cheating" for finding in trial.findings)
    own = files_of(trial.told.project, repository.files(graded.tree))
    loaded = tuple(about_loaded_tests(graded, own))
    failed = failed or bool(loaded)
    released, measurement = Released(graded.tree), None
    if not failed:
        if policy.grading.coverage:
            measurement = await asyncio.to_thread(CoverageMeasurement.of, bench, change.base_commit, graded)
        released = await try_own_tests(
            bench, change, graded, sealed, compared, trial.run, measurement.watching if measurement else None
        )
    statements = "\n".join(criterion.statement for criterion in criteria)
    sealed_cases = SealedCases.of(sealed, statements)
    findings = (
        *about_run("on the base commit", base.alone),
        *about_run("on the change", trial.run),
        *trial.findings,
        *loaded,
        *about_inline,
        *released.findings,
        *(() if nothing_new else about_criteria(judged)),
        *about_files(repository, change, graded, sealed_cases, amending.tests, statements),
        *(_skipped(case) for cases in trial.told.sealed.values() for case in cases if case.status == "skipped"),
    )
    passing = [file for file in sealed.files if _all_pass(trial.told.sealed[file.path])]
    kept = [file for file in passing if not is_held_out(file.path, file.content)]
    checks = FurtherChecks(amending)
    if not failed:
        passed = Passed(change.base_commit, graded, sealed, trial, released, measurement, own, passing, seconds)
        checks = await check_further(bench, passed, amending)
        failed, amending = checks.failed, checks.amending
        broken = tuple(regressions_of_refused(amending))
    summary = await with_touched_lines(guarding, change, graded, trial.told.project)
    guards = summary if failed else _with_kept_tree(summary, guarding, trial, change, released.commit, kept)
    await bench.clear()
    return Evidence(
        verdict=_verdict(judged, base, failed=failed, nothing_new=nothing_new),
        change=change.commit,
        sealed_tests=sealed.digest,
        criteria=judged,
        regressions=broken,
        amended=amending.tests,
        nothing_new=nothing_new,
        findings=(*findings, *checks.findings),
        tree=repository.git.tree_of(with_sealed_tests(bench, change.base_commit, released.commit, kept)),
        sealed_files=tuple(sorted(file.path for file in kept)),
        held_out=tuple(sorted(file.path for file in sealed.files if file not in kept and file in passing)),
        entered=tuple(map(readable, released.entered)),
        left_out=tuple(map(readable, sorted(graded.restored - set(released.entered)))),
        counts=_counts(compared, trial, amending, guarding),
        ablation=checks.ablation,
        coverage=checks.coverage,
        unwatched=checks.unwatched,
        served=checks.served,
        base=judgement.summary() if (judgement := guarding.plain or base.judgement) else None,
        guards=guards,
    )


def _with_kept_tree(
    summary: GuardSummary | None,
    guarding: Guarding,
    trial: Trial,
    change: ChangeSet,
    commit: str,
    released: Sequence[SealedFile],
) -> GuardSummary | None:
    """Name the tree that is released if a person keeps the characterization tests, too."""
    files = guarding.kept(trial.told.project)
    if summary is None or not files:
        return summary
    tree = with_sealed_tests(guarding.bench, change.base_commit, commit, [*released, *files])
    names = tuple(file.path for file in files)
    return summary.model_copy(update={"kept_files": names, "kept_tree": guarding.bench.repository.git.tree_of(tree)})


def _all_pass(cases: Sequence[TestCase]) -> bool:
    return bool(cases) and all(case.status in ("passed", "skipped") for case in cases)


def _skipped(case: TestCase) -> Finding:
    return Finding(code="sealed-test-skipped", path=case.id, message=case.message or "skipped")


def _verdict(judged: Sequence[CriterionResult], base: BaseRuns, *, failed: bool, nothing_new: bool) -> Verdict:
    """The grade in one word: nothing proven is no pass, and neither is nothing that guards."""
    if failed:
        return "failed"
    shown = any(result.status == "passed" for result in judged)
    if not nothing_new and (not shown or any(result.status == "untested" for result in judged)):
        return "unproven"
    return "passed" if any(case.status == "passed" for case in base.alone.cases) else "unguarded"


def _counts(base: BaseRuns, trial: Trial, amending: Amending, guarding: Guarding) -> Counts:
    """Count the project's own tests and the sealed ones; characterization tests are counted by themselves."""
    refused, hidden = len(list(regressions_of_refused(amending))), guarding.keys
    passed = sum(case.status == "passed" and case.key not in hidden for case in base.alone.cases) + refused
    names = {id_ for id_, _ in hidden}
    broken = sum(regression.test not in names for regression in trial.regressions)
    sealed = {case.id: case.status for cases in trial.told.sealed.values() for case in cases}
    return Counts(
        project_passed_on_base=passed,
        project_still_passing=passed - broken - refused,
        sealed=len(sealed),
        sealed_passed=sum(status == "passed" for status in sealed.values()),
    )
