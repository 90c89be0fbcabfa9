"""Trial of a change beside characterization tests, and once more without them where they keep all others from running.

Called by `grade`. A test that cannot be compiled or imported with the change stops whole suites; then it fails alone.
It must not know the rules of the verdict.
"""

from __future__ import annotations

from dataclasses import replace

from phasegate.infra.grading.base_runs import BaseRuns
from phasegate.infra.grading.change_run import Trial, try_change
from phasegate.infra.grading.guards.guarding import Guarding
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.grading.tree.graded_tree import GradedTree


async def try_guarded(
    guarding: Guarding,
    commits: tuple[str, str],
    graded: GradedTree,
    sealed: SealedTests,
    base: BaseRuns,
    matching: frozenset[str],
) -> Trial:
    """Run the tests on the change, beside the characterization tests.

    Args:
        guarding: The characterization tests on base.
        commits: The base commit and the change.
        graded: The change's tree with its tests as on base.
        sealed: The sealed tests.
        base: How the tests fare on the base commit, the characterization tests among them.
        matching: Criteria that ask for objects that equal others.
    """
    trial = await try_change(guarding.bench, commits, graded, sealed, base, matching)
    if not _stopped(guarding, trial):
        return trial
    alone = await try_change(replace(guarding.bench, guards=()), commits, graded, sealed, base, matching)
    hidden = {test for test, _ in guarding.keys}
    own = [regression for regression in trial.regressions if regression.test in hidden]
    others = [regression for regression in alone.regressions if regression.test not in hidden]
    return replace(alone, regressions=(*own, *others))


def _stopped(guarding: Guarding, trial: Trial) -> bool:
    """True if characterization tests are missing from a run in which sealed tests, or all, did not run either."""
    there = {case.key for case in trial.told.project}
    silent = [path for path, cases in trial.told.sealed.items() if not cases]
    return bool(guarding.keys - there) and bool(silent or trial.run.problem or not there)
