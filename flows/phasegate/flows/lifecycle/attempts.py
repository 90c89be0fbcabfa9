"""Attempts of stages: under a lease, at most once per inputs, and never again once finished (P2).

Every stage works through `attempt`. The ledger decides; Prefect's own cache is off.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from phasegate.flows.lifecycle.agent_policy import without_secrets
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.signals import InputRequired, PauseRequested, RunSignal
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
from phasegate.infra.system.threads import uninterrupted

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
    """Attempt a stage, or return the artifact of a finished attempt.

    Args:
        run: The run.
        stage: The stage.
        number: The attempt's number.
        make: The type of the artifact.
        work: Makes the artifact; gives None if it yielded to a person, or to a background agent.
        part: The part of the stage, where it has several.
        inputs: Name to digest of all that the artifact depends on.
        model: The `provider:model` that works on it, if one does.
        prompt: The digest of the agent's fixed part.

    Raises:
        PauseRequested: A pause was asked for; the attempt continues later from where it was.
        InputRequired: Its agent, or a background agent, needs a person's answer; likewise.
        RecordingExhausted: In a rehearsal: no person had answered by then.
        LeaseHeld: Another engine works on it.
        PhasegateError: The attempt failed, and the failure is recorded.

    Effects:
        One attempt row; its artifact and outcome in one transaction. A replay with the same inputs finds them.
    """
    run.raise_if_interrupted()
    ledger = run.ledger
    if (adopted := run.source.adopt(make, stage, part, number, inputs)) is not None:
        return adopted
    row, lease = ledger.attempts.begin(
        run.id, stage, part, number, inputs=inputs, model=model, prompt=prompt, holder=run.resources.holder
    )
    if lease is None:
        return ledger.artifacts.get(row.artifact or "", make)
    outcome = await run.executor.run_stage(f"{stage} {part}".strip(), number, lambda: _try(run, row, lease, work))
    if isinstance(outcome, RunSignal):
        raise outcome
    return outcome


async def _try(
    run: RunContext, row: Attempt, lease: Lease, work: Callable[[Attempt], Awaitable[Made | None]]
) -> Made | RunSignal:
    """Work under the lease and record the outcome.

    Returns:
        The artifact, or the signal of a person's request, which is no failure of the attempt.
    """
    attempts = run.ledger.attempts
    try:
        async with _kept(run, lease):
            artifact = await _unless_cancelled(run, run.source.attempt(row, work))
    except (LedgerUnavailable, LeaseHeld):
        raise  # not the attempt's end: it continues here when the ledger is back, or in the engine that has the run
    except (BudgetExceeded, PermissionAsked, QuestionAsked) as need:
        attempts.release(lease)
        return InputRequired(need)
    except PhasegateError as error:
        document, _ = run.secrets.mask_all(error.as_json())
        attempts.fail(row, lease, document)
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
    if artifact is None:
        attempts.release(lease)
        return run.background.blocked_agent() or PauseRequested()
    artifact = await uninterrupted(partial(_finish, run, row, lease, artifact))
    await _show(run, row, artifact)
    return artifact


def _finish(run: RunContext, row: Attempt, lease: Lease, artifact: Made) -> Made:
    """Store an artifact without its secrets, as the attempt's outcome."""
    masked = without_secrets(run, row, artifact)
    # Read as a later pass reads it, so that both passes see the same data.
    stored = type(artifact).from_canonical(masked.canonical())
    run.ledger.attempts.finish(row, lease, stored)
    return stored


async def _unless_cancelled(run: RunContext, work: Awaitable[Made | None]) -> Made | None:
    """Await the work, but cancel it as soon as a person asks the run to end."""
    task = asyncio.ensure_future(work)
    try:
        while True:
            done, _ = await asyncio.wait({task}, timeout=_HEED_SECONDS)
            if done:
                return task.result()
            run.raise_if_interrupted(finish_turn=True)
    finally:
        if not task.done():  # awaiting a finished task would replace its traceback
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
            await asyncio.sleep(run.settings.lease.total_seconds() / _RENEWALS_PER_LEASE)
            try:
                run.ledger.attempts.renew(lease)
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


async def _show(run: RunContext, row: Attempt, artifact: Artifact) -> None:
    """Publish the artifact in Prefect."""
    key = "".join(letter if letter.isalnum() else "-" for letter in row.id).lower()
    page, digest = await asyncio.to_thread(lambda: (artifact.markdown(), artifact.digest))
    await run.executor.publish_artifact(key, markdown=page, description=f"{artifact.kind} {digest}")
