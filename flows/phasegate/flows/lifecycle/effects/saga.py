"""Saga of a run: its effects on the world, and how they are undone (P3, P6).

An effect is recorded before it is made, found if it was made, and undone newest first. `perform` is the only way to
make one, `roll_back` the only way to undo them. `performers` has what makes and undoes each kind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_fixed

from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.effects.migrations import PivotPerformer, route_all_traffic_to_current
from phasegate.flows.lifecycle.effects.performers import PERFORMERS, Facts
from phasegate.flows.lifecycle.intent import Intent
from phasegate.flows.runs.audit_bundle import require_published_chain
from phasegate.flows.runs.reversibility import effects_to_undo, irreversible_effects, past_pivot
from phasegate.infra import crash_points
from phasegate.infra.errors import (
    BranchMoved,
    CompensationFailed,
    LeaseHeld,
    LedgerUnavailable,
    PhasegateError,
    TemporaryError,
)
from phasegate.infra.ledger import Effect
from phasegate.infra.policy.migrations import MIGRATION_CLASSES
from phasegate.infra.system.threads import run_to_completion

_TRIES = 3
_BETWEEN_TRIES = timedelta(seconds=1)
_NO_FAILURE = (LeaseHeld, LedgerUnavailable)
"""Errors that say nothing of a try: the run continues in the engine that has it, or when the ledger is back."""


async def perform(run: RunContext, intent: Intent) -> Facts:
    """Make an effect once, its compensation being on disk before it starts.

    Effects:
        As its performer says, by the key `<run>/<name>`; an effect that was made, or made and undone, is not repeated.

    Raises:
        BranchMoved: It would not be the approved effect any more; it is aborted, and nothing was made.
        TrailBroken: The ledger was altered: the run's chain is not the one whose heads git has seen.
    """
    return await run.source.perform(intent, partial(_make, run, intent))


async def _make(run: RunContext, intent: Intent) -> Facts:
    effects = run.ledger.effects
    key, performer = _key(run, intent.name), PERFORMERS[intent.kind]
    effect = effects.intend(
        run.id,
        intent.kind,
        key,
        intent=intent.facts,
        compensation=intent.compensation,
        effect_class=performer.effect_class,
    )
    if effect.status != "intended":
        return effect.result or {}

    await asyncio.to_thread(require_published_chain, run.ledger, run.record, lambda: run.world.repository)

    async def made_now() -> Facts:
        crash_points.reached(f"before:make:{intent.kind}")
        try:
            result = await performer.make(run, key, effect.intent)
        except BranchMoved as moved:
            effects.call_off(effect, moved.message)
            raise
        crash_points.reached(f"after:make:{intent.kind}")
        return effects.done(effect, result).result or {}  # as a later pass finds it

    return await (made_now() if intent.kind not in MIGRATION_CLASSES else run_to_completion(made_now()))


def is_begun(run: RunContext, intent: Intent) -> bool:
    """True if the effect was intended or made already, by this run or by the earlier run that answers for it."""
    if run.source.has_effect(intent):
        return True
    return run.ledger.effects.find(_key(run, intent.name)) is not None


def _key(run: RunContext, name: str) -> str:
    """The idempotency key: a new one each time a rewind has undone the effect, or the effect was aborted."""
    first = f"{run.id}/{name}"
    effects = run.ledger.effects.list(run.id)
    discarded = (effect for effect in effects if effect.superseded or effect.called_off)
    count = sum(effect.key == first or effect.key.startswith(f"{first}.") for effect in discarded)
    return f"{first}.{count + 1}" if count else first


async def roll_back(
    run: RunContext, *, only: Collection[str] | None = None, ending: Mapping[str, Any] | None = None, why: str = ""
) -> None:
    """Undo a run's effects, newest first, in a subflow; effects that are undone already stay as they are.

    Args:
        run: The run.
        only: The keys of the effects to undo; None for all.
        ending: The run's outcome, recorded before anything is undone; None if the run continues.
        why: The reason, as a sentence for the error if nothing can be undone.

    Raises:
        CompensationFailed: An effect could not be undone; the older ones are untouched.
        PastPivot: The run has made a pivot, or may have. Nothing is undone: the run only goes forward.

    Effects:
        The compensations, each retried; a repeat continues where the last one stopped. Where nothing can be undone, the
        current release gets all the traffic.
    """
    undoable = effects_to_undo(run.ledger, run.id, str((ending or {}).get("status", "")))
    effects = [effect for effect in undoable if only is None or effect.key in only]
    if pivots := [*irreversible_effects(effects), *await _maybe_made(run, effects)]:
        raise past_pivot(run.id, effects, pivots, why=why, traffic=await route_all_traffic_to_current(run, effects))
    standing = [effect for effect in reversed(effects) if effect.status != "undone"]
    if not standing:
        return
    if ending is not None and run.ledger.effects.rollback(run.id) is None:
        run.ledger.effects.begin_rollback(run.id, ending)

    async def undo_all() -> None:
        for effect in standing:
            await _undo(run, effect)

    await run.executor.run_subflow(f"rollback {run.id}", undo_all)


async def _maybe_made(run: RunContext, effects: Sequence[Effect]) -> list[Effect]:
    """Pivots that were begun and may have been made: no record and no command rules it out."""
    pivots = [effect for effect in effects if effect.effect_class == "pivot" and effect.status == "intended"]
    return [effect for effect in pivots if not await _is_unmade(run, effect)]


async def _is_unmade(run: RunContext, effect: Effect) -> bool:
    performer = PERFORMERS[effect.kind]
    return isinstance(performer, PivotPerformer) and await performer.is_unmade(run, effect)


async def _undo(run: RunContext, effect: Effect) -> None:
    async def undone() -> None:
        crash_points.reached(f"before:undo:{effect.kind}")
        result = await PERFORMERS[effect.kind].undo(run, effect)
        crash_points.reached(f"after:undo:{effect.kind}")
        run.ledger.effects.undone(effect, result)

    tries = AsyncRetrying(
        retry=retry_if_exception(
            lambda error: isinstance(error, TemporaryError) and not isinstance(error, _NO_FAILURE)
        ),
        stop=stop_after_attempt(_TRIES),
        wait=wait_fixed(_BETWEEN_TRIES),
        reraise=True,
    )
    try:
        async for attempt in tries:
            with attempt:
                await run.executor.run_stage(f"undo {effect.kind}", attempt.retry_state.attempt_number, undone)
    except _NO_FAILURE:
        raise
    except PhasegateError as error:
        run.ledger.effects.stuck(effect, error.as_json())
        raise CompensationFailed(
            f"{effect.kind} could not be undone ({effect.compensation}): {error.message}",
            remedy=f"{error.remedy} Then `phasegate resume {run.id}` goes on from here.".strip(),
            effect=effect.key,
        ) from error
