"""Stage `prd`: a ticket becomes criteria."""

from __future__ import annotations

from phasegate.agents import prd
from phasegate.agents.prd import Prd, PrdDraft
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.gates.gates import Round
from phasegate.flows.lifecycle.stages.run_agent import propose


async def draft_prd(run: RunContext, round_: Round) -> Prd:
    """Draft the PRD, or draft it again with a person's note.

    Effects:
        One attempt per round; the worktree of the stage after the gate.
    """
    document = await propose(
        run,
        prd.AGENT,
        run.numbers.next("prd"),
        Prd,
        _accept,
        brief=prd.brief(run.ticket, previous=round_.previous, note=round_.note, conventions=run.conventions),
        folder=await run.world.checkout(run.base_commit),
        inputs={"ticket": run.record.ticket},
    )
    if not run.ends_with("prd"):
        run.prepare_worktree()
    return document


def _accept(draft: PrdDraft) -> Prd:
    return Prd.model_validate(draft.model_dump())
