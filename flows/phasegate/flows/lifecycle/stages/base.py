"""Base commit, judged before any model call: a suite that tells nothing must not cost an implementer's attempts."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.stages.characterization import has_author
from phasegate.flows.lifecycle.stages.scratch_bench import scratch_bench
from phasegate.infra.errors import BaseTellsNothing
from phasegate.infra.grading.base import BaseJudgement, judge_base
from phasegate.infra.grading.base_summary import BaseSummary
from phasegate.infra.grading.guards.base_coverage import NO_COMMAND
from phasegate.infra.grading.tree.roles import Roles
from phasegate.infra.system.threads import in_own_loop

_NAME = "base"


async def require_base(run: RunContext) -> None:
    """Judge the base commit where the run is going to be graded; begin to, where policy only wants a warning.

    A project without a test does no harm: an agent is going to pin what it does.

    A run that has made attempts has passed this step, or began before it existed. A replay starts from a run that did.

    Raises:
        BaseTellsNothing: Policy requires a base commit whose tests tell something, and they do not.

    Effects:
        One observation, which a rehearsal takes over.
    """
    if run.ends_with("prd", "implementation") or run.origin or run.ledger.attempts.list(run.id):
        return
    if run.policy.grading.base == "required":
        await run.source.observe("testing", _NAME, partial(_judge, run, required=True))
    else:
        run.background.start(_tell(run), low_priority=True)


async def base_summary(run: RunContext) -> BaseSummary | None:
    """Summary of the base commit, as it was when the run first looked.

    Returns:
        The summary; `None` for a rehearsal of a run that was graded without one.
    """
    if not run.source.can_observe(_NAME):
        return None
    return BaseSummary.model_validate(await run.source.observe("testing", _NAME, partial(_judge, run)))


async def _tell(run: RunContext) -> None:
    """Report early what the gate page will show."""
    judgement = await _judgement(run, "base-told")
    run.report_step("testing", judgement.summary().sentence())


async def _judge(run: RunContext, *, required: bool = False) -> Any:
    judgement = await _judgement(run, "base")
    summary = judgement.summary()
    run.report_step("testing", summary.sentence())
    if summary.reason and required and not await asyncio.to_thread(_will_have_tests, run, judgement):
        raise BaseTellsNothing(summary.complaint(), base=run.base_commit)
    return summary.model_dump(mode="json")


def _will_have_tests(run: RunContext, judgement: BaseJudgement) -> bool:
    """Tell if nothing but the want of tests is wrong with a base commit, and an agent is going to write some."""
    if judgement.first.cases or judgement.first.problem not in ("", "no-junit-report"):
        return False
    if judgement.first.exit_code in NO_COMMAND or not has_author(run):
        return False
    return not Roles(run.world.repository, run.base_commit).tests()


async def _judgement(run: RunContext, folder: str) -> BaseJudgement:
    async with scratch_bench(run, folder) as bench:
        return await in_own_loop(partial(judge_base, bench, run.base_commit))
