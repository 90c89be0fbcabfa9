"""Runner of one run: begins, pauses and ends it. Called by the flow each time the engine executes the run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import httpx

from phasegate.flows.engine.executor import Executor
from phasegate.flows.engine.resources import Resources, resources
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.effects.saga import roll_back
from phasegate.flows.lifecycle.gates.gates import note_forced_states
from phasegate.flows.lifecycle.gates.interrupts import wait_for_answer
from phasegate.flows.lifecycle.rewind import put_back_if_asked
from phasegate.flows.lifecycle.signals import (
    Breached,
    CancelRequested,
    InputRequired,
    PauseRequested,
    Rejected,
    ReleaseFailed,
    Rewound,
    RunSignal,
    SubjectStale,
)
from phasegate.flows.runs.audit_bundle import publish_run_head
from phasegate.flows.runs.cleaning import CLEARED, remove_folders
from phasegate.flows.runs.kickoff import require_same_definition
from phasegate.infra.errors import (
    DeployFailed,
    LeaseHeld,
    LedgerUnavailable,
    NotAllowed,
    OperatorNeeded,
    PhasegateError,
    PortTaken,
    TemporaryError,
)
from phasegate.infra.ledger import STOPPED, RunStatus
from phasegate.infra.system.threads import uninterrupted

_log = logging.getLogger(__name__)

Pipeline = Callable[[RunContext], Awaitable[None]]


async def run_lifecycle(run_id: str, pipeline: Pipeline, executor: Executor) -> None:
    """Run a run from where it stands to its next stop.

    Args:
        run_id: The run.
        pipeline: The pipeline to run.
        executor: The executor of its stages and waits.

    Raises:
        Pause: The run waits for a person and costs nothing meanwhile.

    Effects:
        The run's status. A run that has ended is left alone, unless a person asked to roll it back.
    """
    shared = await resources()
    active = shared.active_runs
    active.scheduled.discard(run_id)
    if run_id in active.running:
        return  # another flow run of this engine carries it
    active.running.add(run_id)
    try:
        while not await _with_lease(run_id, shared, pipeline, executor):  # noqa: ASYNC110  a database comes back without a sign
            await asyncio.sleep(LedgerUnavailable.delay.total_seconds())
    finally:
        active.running.discard(run_id)


async def _with_lease(run_id: str, shared: Resources, pipeline: Pipeline, executor: Executor) -> bool:
    """Run with the run's lease.

    Returns:
        False if the ledger or Prefect went away, and the pass must be repeated.
    """
    try:
        run = shared.ledger.runs.get(run_id)
        if run.status in STOPPED and not run.request:
            return True
        lease = shared.ledger.leases.take(run_id, shared.holder)
        inside = replace(shared, ledger=shared.ledger.fenced(lease))
        interrupted = False
        try:
            while await _run_once(RunContext(inside.ledger.runs.get(run_id), inside, executor), pipeline):
                pass
            await _clear_away(inside, run_id)
        except asyncio.CancelledError:
            interrupted = True
            raise
        finally:
            if not interrupted:  # a clean exit: a lease left behind marks the next start as a recovery
                shared.ledger.leases.release(lease)
    except LeaseHeld as error:
        _log.info("%s is owned by another engine: %s", run_id, error)
    except (LedgerUnavailable, httpx.HTTPError) as error:
        _log.warning("%s goes on when what it needs is back: %r", run_id, error)
        return False
    return True


async def _clear_away(shared: Resources, run_id: str) -> None:
    """Remove the folders of a run that has ended; the cleaning service removes the rest after a crash."""
    run = shared.ledger.runs.get(run_id)
    if run.status in CLEARED and not run.request:
        await uninterrupted(lambda: list(remove_folders(shared.settings, run, shared.secrets)))


async def _run_once(run: RunContext, pipeline: Pipeline) -> bool:
    """Run the pipeline once.

    Returns:
        True if it must run again: the run was paused, rewound or answered meanwhile, or a subject went stale.
    """
    try:
        return await _run_and_record(run, pipeline)
    finally:
        await run.background.cancel()


async def _run_and_record(run: RunContext, pipeline: Pipeline) -> bool:
    """Run the pipeline, handle the signals by which it is left, and record the outcome of the pass.

    Returns:
        True if it must run again.
    """
    step: Callable[[], Awaitable[bool]] = partial(_run_pipeline, run, pipeline)
    try:
        while True:
            try:
                return await step()
            except RunSignal as signal:  # the step that handles it may end in another: a person rejects, or pauses
                step = partial(_handle, run, signal)
    except (LeaseHeld, LedgerUnavailable):
        raise
    except (OperatorNeeded, TemporaryError) as error:
        _set_outcome(run, "needs-operator", error.as_json())
    except PhasegateError as error:
        _set_outcome(run, "failed", error.as_json())
    except Exception as error:  # recorded as the run's outcome, with its traceback in the engine's log
        if _is_prefect_away(error):
            raise
        _log.exception("run %s failed", run.id)
        message = f"phasegate itself failed: {error!r}"
        _set_outcome(
            run, "failed", {"code": "internal", "message": message, "remedy": "See the engine's log.", "context": {}}
        )
    return False


async def _run_pipeline(run: RunContext, pipeline: Pipeline) -> bool:
    """Run the pipeline to its end, or the rest of a rollback that has begun.

    Returns:
        False: the run has ended.

    Raises:
        RunSignal: The run left its pipeline before.
    """
    run.ledger.commands.settle(run.id)
    stands = run.ledger.runs.get(run.id)
    if stands.status in STOPPED and not stands.request:
        return False  # it was woken by what is no command
    await note_forced_states(run, run.ledger.gates.list(run.id))
    await put_back_if_asked(run)
    if (rollback := run.ledger.effects.rollback(run.id)) is not None:
        await _roll_back_and_end(run, rollback["status"], rollback["reason"])
        return False
    run.raise_if_interrupted()
    run.ledger.runs.require_as_accepted(run.id)
    run.ledger.commands.require_replay_allowed(run.record)
    require_same_definition(run.record)
    run.ledger.runs.set_status(run.id, "running")
    try:
        await run.source.complete(partial(pipeline, run))
    except (DeployFailed, PortTaken) as error:
        raise ReleaseFailed(error) from error
    _complete(run)
    return False


async def _handle(run: RunContext, signal: RunSignal) -> bool:
    """Handle the signal by which a run left its pipeline; background agents continue meanwhile.

    Returns:
        True if the pipeline must run again, False if the run has ended.

    Raises:
        RunSignal: A person asked for something else meanwhile, or said no.
    """
    match signal:
        case PauseRequested():
            await _wait_while_paused(run)
        case InputRequired(need=need):
            await wait_for_answer(run, need)
        case Rewound() | SubjectStale():
            pass
        case Rejected() | CancelRequested() | Breached() | ReleaseFailed():
            await _roll_back_and_end(run, *_ending_of(signal))
            return False
        case _:
            raise TypeError(f"a run does not leave its pipeline by {signal!r}")
    return True


def _is_prefect_away(error: Exception) -> bool:
    """True if Prefect did not answer, or had a server error: other HTTP clients raise errors of their own."""
    refused = isinstance(error, httpx.HTTPStatusError) and error.response.is_client_error
    return isinstance(error, httpx.HTTPError) and not refused


async def _roll_back_and_end(run: RunContext, status: RunStatus, reason: dict[str, object]) -> None:
    """Undo the run's effects and end it; once begun, each later pass only continues the rollback."""
    await roll_back(run, ending={"status": status, "reason": reason}, why=str(reason.get("message", "")))
    await run.discard_unused_worktree()
    _set_outcome(run, status, reason)


def _complete(run: RunContext) -> None:
    """Record that the run is done, unless a person has made another request at the last moment.

    Raises:
        CancelRequested: A person has made one.
    """
    try:
        _set_outcome(run, "done", run.source.done_reason)
    except NotAllowed:
        run.raise_if_interrupted()
        _set_outcome(run, "done", run.source.done_reason)  # what was there is no command, and is refused by now


def _ending_of(signal: Rejected | CancelRequested | Breached | ReleaseFailed) -> tuple[RunStatus, dict[str, object]]:
    match signal:
        case Rejected(gate=gate, decision=decision):
            return "rejected", {
                "code": "rejected",
                "message": f"{decision.approver} rejected {gate}",
                "note": decision.note,
            }
        case CancelRequested(args=("rollback",)):
            return "rolled-back", {"code": "rollback", "message": "rolled back on a person's request"}
        case CancelRequested():
            return "cancelled", {"code": "cancelled", "message": "cancelled on a person's request"}
        case Breached():
            when, reasons = f" ({signal.when})" if signal.when else "", signal.report.failed_reasons
            return "rolled-back", {"code": "breached", "message": f"the release was bad{when}: {reasons}"}
        case ReleaseFailed(error=error):
            return "rolled-back", error.as_json()


def _set_outcome(run: RunContext, status: RunStatus, reason: dict[str, object] | None = None) -> None:
    masked, _ = run.secrets.mask_all(reason)
    run.ledger.runs.set_status(run.id, status, reason=masked)
    publish_run_head(run.ledger, run.record, lambda: run.world.repository)


async def _wait_while_paused(run: RunContext) -> None:
    """Wait until the person who paused the run resumes or ends it."""
    runs = run.ledger.runs
    runs.set_status(run.id, "paused")
    await run.executor.wait_until(
        "pause",
        run_id=run.id,
        decided=lambda: runs.get(run.id).request != "pause",
        settings=run.settings,
    )
