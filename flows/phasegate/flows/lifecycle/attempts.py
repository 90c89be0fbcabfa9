"""How a stage is tried: under a lease, at most once per inputs, and never again once it has finished (P2).

Everything a stage does goes through `attempt`. What decides is the ledger; Prefect's own cache is off.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

from phasegate.flows.engine.prefect_backend.executor import current_executor
from phasegate.flows.lifecycle.agent_policy import without_secrets
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.replay.adoption import adopted
from phasegate.flows.lifecycle.signals import InputRequired, PauseRequested, RecordingExhausted, RunSignal
from phasegate.infra.artifacts import Artifact
from phasegate.infra.errors import (
    BudgetExceeded,
    LeaseHeld,
    LedgerUnavailable,
    PermissionAsked,
    PhasegateError,
    QuestionAsked,
)
from phasegate.infra.ledger import Attempt, Lease

Made = TypeVar("Made", bound=Artifact)

_RENEWALS_PER_LEASE = 4
_HEED_SECONDS = 0.5

_log = logging.getLogger(__name__)


async def attempt(
    run: RunContext,
    stage: str,
    number: int,
    make: type[Made],
    work: Callable[[Attempt], Awaitable[Made | None]],
    *,
    part: str = "",
    inputs: Mapping[str, str],
    model: str = "",
    prompt: str = "",
) -> Made:
    """Try a stage, or give back what it has already made.

    Args:
        run: The run.
        stage: The stage.
        number: Which try.
        make: What it makes.
        work: Makes it; None when it yielded to a person, or to a background agent.
        part: Which part of the stage, where it has several.
        inputs: Name to digest of all that goes into it.
        model: The `provider:model` that works on it, if one does.
        prompt: The digest of the agent's fixed part.

    Raises:
        PauseRequested: A pause was asked for; the attempt goes on where it was.
        InputRequired: Its agent, or one beside it, needs a person's answer; likewise.
        RecordingExhausted: In a rehearsal: nobody had answered by then.
        LeaseHeld: Another engine works on it.
        PhasegateError: Whatever ended the attempt, after it was recorded.

    Effects:
        One attempt row; its artifact and outcome in one transaction. A replay with the same inputs finds them.
    """
    run.raise_if_interrupted()
    ledger = run.shared.ledger
    if (taken := adopted(run, make, stage, part, number, inputs)) is not None:
        return taken
    row, lease = ledger.attempts.begin(
        run.run.id, stage, part, number, inputs=inputs, model=model, prompt=prompt, holder=run.shared.holder
    )
    if lease is None:
        return ledger.artifacts.get(row.artifact or "", make)
    made = await current_executor().run_stage(f"{stage} {part}".strip(), number, lambda: _try(run, row, lease, work))
    if isinstance(made, RunSignal):
        raise RecordingExhausted() if run.rehearses and isinstance(made, InputRequired) else made
    return made


async def _try(
    run: RunContext, row: Attempt, lease: Lease, work: Callable[[Attempt], Awaitable[Made | None]]
) -> Made | RunSignal:
    """Work under the lease and record how it ended; what a person asked for is no failure of the task's."""
    attempts = run.shared.ledger.attempts
    try:
        async with _kept(run, lease):
            made = await _unless_cancelled(run, work(row))
    except (LedgerUnavailable, LeaseHeld):
        raise  # not the attempt's end: it goes on, here when the ledger is back, or where the run is now
    except (BudgetExceeded, PermissionAsked, QuestionAsked) as need:
        attempts.release(lease)
        return InputRequired(need)
    except PhasegateError as error:
        said, _ = run.shared.secrets.mask_all(error.as_json())
        attempts.fail(row, lease, said)
        raise
    except RunSignal as ending:
        attempts.release(lease)
        return ending
    except asyncio.CancelledError:
        attempts.release(lease)
        raise
    except Exception as error:
        _log.exception("%s failed", row.id)
        attempts.fail(row, lease, {"code": "internal", "message": repr(error), "remedy": "", "context": {}})
        raise
    if made is None:
        attempts.release(lease)
        return run.blocked_background_agent() or PauseRequested()
    masked = without_secrets(run, row, made)
    made = type(made).from_canonical(masked.canonical())  # spelled as a later pass reads it: what follows is the same
    attempts.finish(row, lease, made)
    await _show(row, made)
    return made


async def _unless_cancelled(run: RunContext, work: Awaitable[Made | None]) -> Made | None:
    """Wait for the work, but drop it as soon as a person asks the run to end."""
    task = asyncio.ensure_future(work)
    try:
        while True:
            done, _ = await asyncio.wait({task}, timeout=_HEED_SECONDS)
            if done:
                return task.result()
            run.raise_if_interrupted(finish_turn=True)
    finally:
        if not task.done():  # to wait for one that has ended would lose where its error came from
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, PhasegateError):
                await task


@asynccontextmanager
async def _kept(run: RunContext, lease: Lease) -> AsyncGenerator[None]:
    """Renew a lease for as long as the block runs; a lost one ends the block."""
    worker = asyncio.current_task()
    lost: list[LeaseHeld] = []

    async def renew() -> None:
        while True:
            await asyncio.sleep(run.shared.settings.lease.total_seconds() / _RENEWALS_PER_LEASE)
            try:
                run.shared.ledger.attempts.renew(lease)
            except LedgerUnavailable as error:
                _log.warning("%s", error)
            except LeaseHeld as error:
                lost.append(error)
                if worker is not None:
                    worker.cancel()
                return

    renewing = asyncio.create_task(renew())
    try:
        yield
    except asyncio.CancelledError:
        if lost:
            raise lost[0] from None
        raise
    finally:
        renewing.cancel()


async def _show(row: Attempt, made: Artifact) -> None:
    """Show the artifact to whoever looks at Prefect."""
    key = "".join(letter if letter.isalnum() else "-" for letter in row.id).lower()
    await current_executor().publish_artifact(key, markdown=made.markdown(), description=f"{made.kind} {made.digest}")
