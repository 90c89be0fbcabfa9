"""The grade of a change: nobody grades their own work (DESIGN §1, principle 3; §5, testing).

Called by the testing stage. The sealed tests must fail on the base commit and pass on the change, what passed on base
must still pass, and whatever the implementer did to tests and their configuration is taken back first and reported. It
must not know who wrote anything, or what the verdict leads to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from phasegate.infra.artifacts import sha256
from phasegate.infra.errors import SetupFailed
from phasegate.infra.grading.attribution import Attribution, attribute
from phasegate.infra.grading.evidence import Counts, CriterionResult, Evidence, Finding, Regression
from phasegate.infra.grading.findings import about_criteria, about_files, about_run, touched_test_files
from phasegate.infra.grading.junit import TestCase
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.grading.test_run import Bench, Checkout, TestRun
from phasegate.infra.grading.verdict import CriterionLike, judge_criteria, regressions
from phasegate.infra.policy.model import Policy
from phasegate.infra.sandbox import Sandbox
from phasegate.infra.workspace import ChangeSet, Repository

__all__ = ["CriterionLike", "grade"]


@dataclass(frozen=True)
class _BaseRuns:
    """The base commit's outcomes, which are the same for every attempt of a run."""

    alone: TestRun
    sealed: TestRun


@dataclass(frozen=True)
class _ChangeRuns:
    sealed: TestRun
    attribution: Attribution
    regressions: tuple[Regression, ...]


_STORED = TypeAdapter(_BaseRuns)


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
        scratch: A folder for checkouts, emptied as it goes; outcomes on the base commit are kept beside it.
        on_step: Told what is being done.

    Raises:
        SetupFailed: The setup command fails on the base commit, so nothing can be said about the change.
    """
    bench = Bench(repository, policy, sandbox, scratch, on_step)
    base = await _on_base(bench, change.base_commit, sealed)
    known = {case.id for case in base.alone.cases}
    base_files = repository.files(change.base_commit)
    before = attribute(base.sealed.cases, sealed, base_files, known)
    restored = touched_test_files(repository, change, policy)
    after = await _on_change(bench, change, sealed, restored, base.alone)
    trouble = f"{after.sealed.problem}: {after.sealed.said}" if after.sealed.problem else ""
    judged = judge_criteria(criteria, sealed, before, after.attribution, trouble)
    failed = bool(trouble or after.regressions) or any(result.status == "failed" for result in judged)
    return Evidence(
        verdict="failed" if failed else "passed",
        change=change.commit,
        sealed_tests=sealed.digest,
        criteria=judged,
        regressions=after.regressions,
        findings=_findings(repository, change, policy, base, after, judged),
        counts=_counts(base.alone, after),
    )


async def _on_base(bench: Bench, commit: str, sealed: SealedTests) -> _BaseRuns:
    tree = bench.repository.git.tree_of(commit)
    key = sha256(f"{tree} {sealed.digest} {bench.policy.digest} {bench.sandbox.name}").removeprefix("sha256:")
    stored = bench.scratch.parent / f"base-{key[:32]}.json"
    try:
        return _STORED.validate_json(stored.read_bytes())
    except (FileNotFoundError, ValidationError):
        pass  # the first grade of this run, or one that died while writing
    with_sealed = await bench.run(Checkout("base-with-sealed-tests", commit, sealed=sealed))
    alone = _without_sealed(bench.repository, commit, sealed, with_sealed)
    if alone is None and with_sealed.problem != "setup-failed":
        alone = await bench.run(Checkout("base", commit))
    if alone is None or alone.problem == "setup-failed":
        raise SetupFailed(
            f"the setup command fails on the base commit: {(alone or with_sealed).said}",
            remedy="Mend `project.setup` in phasegate.toml; it has no network unless `sandbox.setup_network` is true.",
        )
    runs = _BaseRuns(alone, with_sealed)
    if "tests-timed-out" not in (alone.problem, with_sealed.problem):
        stored.parent.mkdir(parents=True, exist_ok=True)
        fresh = stored.with_suffix(".new")
        fresh.write_bytes(_STORED.dump_json(runs))
        fresh.replace(stored)
    return runs


def _without_sealed(repository: Repository, commit: str, sealed: SealedTests, run: TestRun) -> TestRun | None:
    """How the project's own tests fare without the sealed ones, as far as a run with them shows it; None: it does not.

    It does when every sealed file was collected (one that cannot be imported may keep the others from running), none
    took the place of a file of the project, and none of the project's tests has trouble.
    """
    files = repository.files(commit)
    told = attribute(run.cases, sealed, files, ())
    collected = all(cases and all(case.status != "error" for case in cases) for cases in told.sealed.values())
    healthy = bool(told.project) and all(case.status in ("passed", "skipped") for case in told.project)
    in_the_way = any(file.path in files for file in sealed.files)
    return TestRun(told.project) if collected and healthy and not in_the_way else None


async def _on_change(
    bench: Bench, change: ChangeSet, sealed: SealedTests, restored: Sequence[str], alone_on_base: TestRun
) -> _ChangeRuns:
    checkout = Checkout("change-with-sealed-tests", change.commit, change.base_commit, restored, sealed)
    with_sealed = await bench.run(checkout)
    known = {case.id for case in alone_on_base.cases}
    told = attribute(with_sealed.cases, sealed, bench.repository.files(change.commit), known)
    broken = regressions(alone_on_base.cases, told.project)
    if broken and with_sealed.problem != "setup-failed":
        # perhaps for the sealed tests' presence only: the project's tests get a run of their own
        alone = await bench.run(Checkout("change", change.commit, change.base_commit, restored))
        broken = regressions(alone_on_base.cases, alone.cases)
    return _ChangeRuns(with_sealed, told, broken)


def _findings(
    repository: Repository,
    change: ChangeSet,
    policy: Policy,
    base: _BaseRuns,
    after: _ChangeRuns,
    judged: Sequence[CriterionResult],
) -> tuple[Finding, ...]:
    found = [
        *about_run("on the base commit", base.alone),
        *about_run("on the change", after.sealed),
        *about_criteria(judged),
        *about_files(repository, change, policy),
    ]
    found += [
        _skipped(case) for cases in after.attribution.sealed.values() for case in cases if case.status == "skipped"
    ]
    return tuple(found)


def _skipped(case: TestCase) -> Finding:
    return Finding(code="sealed-test-skipped", path=case.id, message=case.message or "skipped")


def _counts(alone_on_base: TestRun, after: _ChangeRuns) -> Counts:
    passed = sum(case.status == "passed" for case in alone_on_base.cases)
    sealed = {case.id: case.status for cases in after.attribution.sealed.values() for case in cases}
    return Counts(
        project_passed_on_base=passed,
        project_still_passing=passed - len(after.regressions),
        sealed=len(sealed),
        sealed_passed=sum(status == "passed" for status in sealed.values()),
    )
