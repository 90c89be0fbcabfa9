"""Runs of the tests on the base commit: once for all attempts of a run, and again where a test may be flaky.

Called by `grade`. It must not know the change.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from pydantic import TypeAdapter, ValidationError

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.errors import SetupFailed
from phasegate.infra.grading.base import BaseJudgement, judge_base
from phasegate.infra.grading.integrity.canaries import (
    Planted,
    attribute_planted,
    language,
    masked,
    own_cases,
    plant_canaries,
)
from phasegate.infra.grading.runner.attribution import paths_of
from phasegate.infra.grading.runner.junit import TestKey
from phasegate.infra.grading.runner.narrowing import unneeded_tests
from phasegate.infra.grading.runner.runner import Bench, Checkout, TestRun, require_services
from phasegate.infra.grading.runner.stored_files import store
from phasegate.infra.grading.sealed_tests import SealedTests

_RUN = TypeAdapter(TestRun)


@dataclass(frozen=True)
class BaseRuns:
    """The base commit's outcomes, which are the same for every attempt of a run."""

    alone: TestRun
    sealed: TestRun
    armed: tuple[str, ...] = ()
    """Languages whose canary was run and reported as failing or as an error, as it must."""
    ends_badly: bool = False
    """True if the test command's exit code said that tests fail."""
    judgement: BaseJudgement | None = None
    """Several runs without the sealed tests, compared; kept apart from the rest."""

    @property
    def all(self) -> tuple[TestRun, ...]:
        """All runs, those with the sealed tests and those without."""
        return (self.alone, self.sealed, *(self.judgement.runs if self.judgement else ()))


_STORED = TypeAdapter(BaseRuns)


async def on_base(bench: Bench, commit: str, sealed: SealedTests) -> BaseRuns:
    """Run the tests on the base commit, with the sealed ones and without.

    Effects: outcomes kept beside the scratch folder, and read from there the next time.

    Raises:
        SetupFailed: The setup command fails.
        ServiceFailed: A service that the tests need does not come up.
    """
    judgement = await judge_base(bench, commit)
    require_services(judgement.first)
    if judgement.first.problem == "setup-failed":
        raise SetupFailed(
            f"the setup command fails on the base commit: {judgement.first.said}",
            remedy="Mend `project.setup` in phasegate.toml; it has no network unless `sandbox.setup_network` is true.",
        )
    stored = bench.scratch.parent / f"base-{_key(bench, commit, sealed)}.json"
    try:
        return replace(_STORED.validate_json(stored.read_bytes()), alone=judgement.first, judgement=judgement)
    except (FileNotFoundError, ValidationError):
        pass  # the first grade of this run, or one that died while writing
    runs = await _try_sealed(bench, commit, sealed, judgement.first)
    with_sealed = runs.sealed
    if "tests-timed-out" not in (judgement.first.problem, with_sealed.problem):
        store(stored, _STORED.dump_json(runs))
    return replace(runs, judgement=judgement)


async def _try_sealed(bench: Bench, commit: str, sealed: SealedTests, alone: TestRun) -> BaseRuns:
    """Run the sealed tests and canaries on the base commit, without the project's tests where these can be spared."""
    taken = bench.repository.files(commit)
    beside = sealed.or_guards(bench.guards)
    planted = plant_canaries(beside, taken, alone=not sealed.files)
    paths = paths_of(alone.cases, taken)
    wanted = {file.path: file.content for file in (*sealed.files, *planted.files)}
    left_out = unneeded_tests(bench.repository, commit, set(paths.values()), wanted, bench.policy.project.test)
    checkout = Checkout("base-with-sealed-tests", commit, sealed=sealed, planted=planted.files, origin="base")
    ran = require_services(await bench.run(replace(checkout, left_out=left_out)))
    if left_out and _misses(ran, left_out):
        left_out = frozenset[str]()
        ran = require_services(await bench.run(checkout))
    known = {case.id for case in alone.cases}
    with_sealed, armed, ends_badly = without_canaries(bench, commit, planted, ran, sealed, known)
    spoken = {language(file.path) for file in planted.canaries}
    if with_sealed.problem in ("setup-failed", "tests-timed-out") or not spoken - {*armed}:
        return BaseRuns(alone, with_sealed, armed, ends_badly)
    # a sealed file that cannot be imported on base may keep the canaries from running, or they it
    undisturbed = with_sealed
    if not _is_undisturbed(sealed, planted, with_sealed, ran, taken, known):
        undisturbed = require_services(await bench.run(replace(checkout, planted=(), left_out=left_out)))
    if len(with_sealed.cases) < len(undisturbed.cases):
        armed, ends_badly = (), False  # a canary kept tests from being reported
    planted = plant_canaries(beside, taken, alone=True)
    checkout = Checkout("base-with-canaries", commit, planted=planted.files, left_out=left_out, origin="base")
    kept, also_armed, also_badly = without_canaries(bench, commit, planted, require_services(await bench.run(checkout)))
    if len(kept.cases) < sum(paths.get(case.key) not in left_out for case in alone.cases):
        armed, ends_badly = (), False
    else:
        armed, ends_badly = tuple(sorted({*armed, *also_armed})), ends_badly or also_badly
    return BaseRuns(alone, undisturbed, armed, ends_badly)


def _is_undisturbed(
    sealed: SealedTests,
    planted: Planted,
    kept: TestRun,
    whole: TestRun,
    files: Collection[str],
    known: Collection[str],
) -> bool:
    """True if no sealed test ran, as they cannot be imported, and no canary either: they would fare the same alone."""
    if kept.problem:
        return False
    attribution = attribute_planted(whole.cases, sealed, planted, files, known)
    ran = [case for file in planted.canaries for case in own_cases(planted, file, attribution.sealed)]
    outcomes = [{case.status for case in attribution.sealed[file.path]} for file in sealed.files]
    return not ran and all(statuses == {"error"} for statuses in outcomes)


def _misses(run: TestRun, left_out: Collection[str]) -> bool:
    """True if a run reports nothing, or if something in it asks for a file that was left out."""
    stems = {PurePosixPath(path).name.partition(".")[0] for path in left_out}
    return bool(run.problem) or any(stem in case.message for case in run.cases for stem in stems)


async def kept_run(bench: Bench, checkout: Checkout) -> TestRun:
    """A run without sealed tests on a tree of the base commit, the same for every attempt of a run.

    Effects: a run that told something is kept beside the scratch folder, and read from there the next time.

    Raises:
        ServiceFailed: A service that the tests need does not come up.
    """
    stored = bench.scratch.parent / f"{checkout.name}-{_key(bench, checkout.tree, SealedTests(files=()))}.json"
    try:
        return _RUN.validate_json(stored.read_bytes())
    except (FileNotFoundError, ValidationError):
        run = require_services(await bench.run(checkout))
        if not run.problem:
            store(stored, _RUN.dump_json(run))
        return run


async def not_always_passing(bench: Bench, commit: str) -> set[TestKey]:
    """Tests, by id and file, that fail in some of the further runs on the base commit.

    Effects: outcomes kept as `on_base` does.
    """
    flaky: set[TestKey] = set()
    seen: set[TestKey] = set()
    for number in range(1, bench.policy.grading.flaky_reruns + 1):
        run = await kept_run(bench, Checkout(f"base-again-{number}", commit, origin="base"))
        flaky |= {case.key for case in run.cases if case.status != "passed"}
        seen |= {case.key for case in run.cases}
    return flaky & seen


def without_canaries(
    bench: Bench,
    commit: str,
    planted: Planted,
    run: TestRun,
    sealed: SealedTests | None = None,
    known: Collection[str] = (),
) -> tuple[TestRun, tuple[str, ...], bool]:
    """A run without what was planted, the languages whose canary failed in it, and whether its exit code says so."""
    run = masked(run, planted)
    sealed_files = sealed or SealedTests(files=())
    attribution = attribute_planted(run.cases, sealed_files, planted, bench.repository.files(commit), known)
    own = {case.key for file in planted.canaries for case in own_cases(planted, file, attribution.sealed)}
    if sealed:  # whose tests a canary's file may hold once more
        copies = {case.key for file in planted.files for case in attribution.sealed[file.path]}
        own |= copies - {case.key for file in sealed.files for case in attribution.sealed[file.path]}
    # unittest calls it an error where the base commit lacks what a canary imports
    armed = {
        language(file.path)
        for file in planted.canaries
        if (own_canary := own_cases(planted, file, attribution.sealed))
        and {case.status for case in own_canary} <= {"failed", "error"}
    }
    kept = tuple(case for case in run.cases if case.key not in own)
    return replace(run, cases=kept), tuple(sorted(armed)), bool(armed) and run.exit_code != 0


def _key(bench: Bench, commit: str, sealed: SealedTests) -> str:
    tree = bench.repository.git.tree_of(commit)
    guards = sha256(canonical_json([file.model_dump(mode="json") for file in bench.guards])) if bench.guards else ""
    key = sha256(f"{tree} {sealed.digest} {bench.policy.digest} {bench.sandbox.name}{guards}")
    return key.removeprefix("sha256:")[:32]
