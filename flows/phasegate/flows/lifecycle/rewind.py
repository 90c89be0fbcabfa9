"""Rewind of a run to a checkpoint: the world, the files, the conversation, and then the ledger, in that order.

Called by `runner` when a person asked for it (`flows.runs.checkpoints` plans it). Every step finds the work of an
interrupted try. The request stands until the ledger records in one event that all of it is done.
"""

from __future__ import annotations

import asyncio

from phasegate.agents.loop import branch_thread
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.effects.saga import roll_back
from phasegate.flows.lifecycle.signals import Rewound
from phasegate.flows.runs.audit_bundle import publish_run_head
from phasegate.flows.runs.checkpoints import RewindPlan, plan_rewind
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.ledger.rewinds import Discarded


async def put_back_if_asked(run: RunContext) -> None:
    """Put the run back if a person asked for it, and leave the pipeline: it is executed again from the top.

    Raises:
        Rewound: The run stands at the checkpoint now.
        NotAllowed: The run can no longer go back to the checkpoint.
        CompensationFailed: An effect could not be undone; the older ones are untouched.
        OperatorNeeded: The conversation of that turn is not stored.

    Effects:
        Compensations of the effects made since; `refs/phasegate/<run>/rewound/<n>/…`; the workspace's files; a thread
        for the next attempt; one event with all that no longer counts. A repeat continues where it was cut off.
    """
    ledger, run_id = run.ledger, run.id
    if ledger.commands.request(run_id) != "rewind":
        return
    rewind = plan_rewind(ledger, run.record, ledger.rewinds.asked(run_id))
    await roll_back(run, only=frozenset(effect.key for effect in rewind.effects))
    refs = await _put_files_back(run, rewind, ledger.rewinds.count(run_id) + 1)
    continued = await _branch_conversation(run, rewind)
    ledger.rewinds.record(
        run_id,
        Discarded(rewind.attempts, rewind.gates, [effect.id for effect in rewind.effects]),
        {
            "checkpoint": rewind.checkpoint.id,
            "position": rewind.checkpoint.position,
            "commit": rewind.checkpoint.commit,
            "source": rewind.source,
            "continued": continued,
            "turn": rewind.turn,
            "kept": refs,
        },
    )
    await asyncio.to_thread(publish_run_head, ledger, run.record)
    raise Rewound


async def _put_files_back(run: RunContext, rewind: RewindPlan, number: int) -> list[str]:
    """Restore the workspace's files.

    Returns:
        The refs that keep the files as they were until now.
    """
    if run.world.repository.git.resolve(f"refs/phasegate/{run.id}/base") is None:
        return []  # no agent has had a folder yet
    workspace = await run.world.worktree.set_up()
    refs = await asyncio.to_thread(workspace.set_aside, number)
    await asyncio.to_thread(workspace.restore, rewind.checkpoint.commit)
    return refs


async def _branch_conversation(run: RunContext, rewind: RewindPlan) -> str:
    """Begin the implementation's next attempt with the conversation up to the checkpoint's turn.

    Returns:
        The id of that attempt, or an empty text if the checkpoint has no turn.
    """
    attempts = run.ledger.attempts
    numbers = [
        attempt.number for attempt in attempts.list(run.id) if (attempt.stage, attempt.part) == ("implementation", "")
    ]
    upcoming = str(AttemptId.of(run.id, "implementation", "", max(numbers, default=0) + 1))
    await branch_thread(run.ledger, run.resources.threads, rewind.source, rewind.turn, upcoming)
    return upcoming if rewind.turn else ""
