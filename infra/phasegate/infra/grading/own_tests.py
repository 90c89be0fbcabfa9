"""Tests that are released with a change: the sealed ones that pass, and its own if the whole suite passes with them.

Called by `grade` once a change was tried with the base commit's tests in their place. It must not know what a passed
grade leads to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from phasegate.infra.grading.base_runs import BaseRuns
from phasegate.infra.grading.evidence import Finding
from phasegate.infra.grading.runner.attribution import attribute, paths_of
from phasegate.infra.grading.runner.junit import TestCase
from phasegate.infra.grading.runner.narrowing import undisturbed_tests
from phasegate.infra.grading.runner.runner import Bench, Checkout, RunProbe, TestRun
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.tree.graded_tree import GradedTree, commit_with, with_own_tests
from phasegate.infra.grading.verdict import regressions
from phasegate.infra.workspace import ChangeSet

_NEVER = "what passed before does not pass with the change's own tests, so none of these goes in: {}"
_SHOWN = 5


@dataclass(frozen=True)
class Released:
    """Commit and tests that are released of a change that passed."""

    commit: str
    """A commit on top of the base commit."""
    entered: tuple[str, ...] = ()
    """Test files that go in as the change has them."""
    findings: tuple[Finding, ...] = ()


async def try_own_tests(
    bench: Bench,
    change: ChangeSet,
    graded: GradedTree,
    sealed: SealedTests,
    base: BaseRuns,
    before: TestRun,
    probe: RunProbe | None = None,
) -> Released:
    """Run the suite with the change's own tests in it, and tell which of them go in: all that may, or none.

    Args:
        bench: Where.
        change: The change.
        graded: Its tree with the base commit's tests, on which it passed.
        sealed: The sealed tests, which have to pass in this run too.
        base: How the tests fare on the base commit.
        before: The run with the base commit's tests in their place.
        probe: Watches the run; one that fails is made again without it, and decides.
    """
    covered = {file.path for file in (*sealed.files, *bench.guards)}
    graded = replace(graded, own_tests=graded.own_tests - covered)
    if not graded.own_tests:
        return Released(graded.tree)
    commit = with_own_tests(bench.repository, change.base_commit, graded, change)
    paths = paths_of(before.cases, bench.repository.files(graded.tree))
    left_out = _other_packages(bench.repository.files(commit), graded.own_tests, covered)
    if probe is None and not left_out:
        sealed_files = {file.path: file.content for file in (*sealed.files, *bench.guards)}
        collected = set(paths.values()) - graded.product
        command = bench.policy.project.test
        left_out = undisturbed_tests(bench.repository, commit, collected, graded.own_tests, sealed_files, command)
    checkout = Checkout(
        "change-with-its-own-tests", commit, graded.belongs_to_tests, sealed, left_out=left_out, origin="change"
    )
    known = tuple(case for case in before.cases if paths.get(case.key) in left_out)
    why = _against(bench, commit, _with_cases(await bench.run(checkout, probe), known), sealed, base)
    if why and probe:
        why = _against(bench, commit, _with_cases(await bench.run(checkout), known), sealed, base)
    if why:
        return Released(graded.tree, findings=(Finding(code="own-tests-left-out", message=why),))
    return Released(commit, tuple(sorted(graded.own_tests)))


def _other_packages(files: Iterable[str], own: Collection[str], sealed: Collection[str]) -> frozenset[str]:
    """Tests of Go packages that are the same with and without a change's own tests: their outcomes are known."""
    if not all(path.endswith("_test.go") for path in own):
        return frozenset()
    folders = {path.rpartition("/")[0] for path in (*own, *sealed)}
    return frozenset(path for path in files if path.endswith("_test.go") and path.rpartition("/")[0] not in folders)


def _with_cases(run: TestRun, known: tuple[TestCase, ...]) -> TestRun:
    return run if run.problem else replace(run, cases=(*run.cases, *known))


def with_sealed_tests(bench: Bench, base: str, commit: str, files: Iterable[SealedFile]) -> str:
    """A released commit with sealed test files in it; the id of a commit on top of the base commit."""
    contents = {file.path: file.content.encode() for file in files}
    return commit_with(bench.repository, commit, contents, base=base) if contents else commit


def _against(bench: Bench, commit: str, run: TestRun, sealed: SealedTests, base: BaseRuns) -> str:
    """Reason why the change's own tests do not go in, or an empty string if they do."""
    if run.problem:
        return f"with the change's own tests: {run.problem}; none of these goes in"
    if run.rewritten:
        return "test files were written to while the change's own tests ran, so none of these goes in"
    known = {case.id for case in base.alone.cases}
    attribution = attribute(run.cases, sealed, bench.repository.files(commit), known)
    if broken := [regression.test for regression in regressions(base.alone.cases, attribution.project, base.judgement)]:
        return _NEVER.format(", ".join(broken[:_SHOWN]) + (", …" if len(broken) > _SHOWN else ""))
    failing = {case.id for case in base.alone.cases if case.status in ("failed", "error")}
    failing |= {id_ for id_, _ in base.judgement.unstable_outcomes} if base.judgement else set[str]()
    failed = [case.id for case in run.cases if case.status in ("failed", "error") and case.id not in failing]
    if failed:
        return f"{failed[0]} fails with the change's own tests, so none of these goes in"
    silent = [file.path for file in sealed.files if not attribution.sealed[file.path]]
    return "a sealed test does not run beside the change's own tests, so none of these goes in" if silent else ""
