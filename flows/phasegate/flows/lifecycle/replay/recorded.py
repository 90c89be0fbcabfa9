"""Rehearsal: today's pipeline, answered from an earlier run's record, without effects.

The gates, the saga and `runner` ask here when the run is a rehearsal. A rehearsal ends where the record ends. Its
outcome tells if it was the same up to there. A rehearsal opens no gate and intends no effect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.replay.adoption import effect_name
from phasegate.flows.lifecycle.signals import Breached, RecordingExhausted, Rejected, SubjectStale
from phasegate.flows.runs.reversibility import effects_with_adopted
from phasegate.infra.errors import DeployFailed, PhasegateError, RehearsalDeparted, TemporaryError
from phasegate.infra.ledger import Attempt, Decision
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.ledger.events import EventKind, payloads

SAME: Mapping[str, object] = {
    "code": "same",
    "message": "every request was as recorded; nothing was performed",
}
"""The reason a rehearsal gives for being done."""


async def rehearse(run: RunContext, pipeline: Callable[[RunContext], Awaitable[None]]) -> None:
    """Run the pipeline to where the record ends.

    Raises:
        RehearsalDeparted: The pass is not the recorded one.
        PhasegateError: Something failed that had not failed then.
    """
    try:
        await pipeline(run)
    except (RecordingExhausted, Rejected, Breached, DeployFailed):
        pass
    except PhasegateError as error:
        recorded = run.ledger.runs.get(_origin(run)).reason or {}
        if isinstance(error, RehearsalDeparted | TemporaryError) or recorded.get("code") != error.code:
            raise
    _require_all_turns(run)


def recorded_decision(run: RunContext, gate: str, number: int) -> Decision:
    """The decision recorded at a gate of the original run.

    Raises:
        RecordingExhausted: No decision is recorded.
        SubjectStale: The round was over before a decision could count.
    """
    ledger = run.ledger
    for row in ledger.gates.list(_origin(run)):
        if (row.gate, row.number, row.status) == (gate, number, "outdated"):
            raise SubjectStale(ledger.gates.stale_reason(row))
        if (row.gate, row.number) == (gate, number) and (
            decision := ledger.gates.effective_decision(row, row.subject)
        ) is not None:
            payload = payloads.GateRehearsed(gate=gate, number=number, verdict=decision.verdict, decision=decision.id)
            ledger.note(run.id, EventKind.GATE_REHEARSED, payload=payload)
            return decision
    raise RecordingExhausted


def recorded_effect(run: RunContext, kind: str, name: str, compensation: str) -> dict[str, Any]:
    """The recorded result of an effect of the original run, returned instead of making the effect.

    Raises:
        RecordingExhausted: It was not made.
    """
    ledger = run.ledger
    for effect in effects_with_adopted(ledger, _origin(run)):
        same = (effect.kind, effect_name(effect), effect.superseded) == (kind, name, 0)
        if same and effect.result is not None:
            payload = payloads.EffectRehearsed(effect=effect.key, kind=kind, compensation=compensation)
            ledger.note(run.id, EventKind.EFFECT_REHEARSED, payload=payload)
            return effect.result
    raise RecordingExhausted


def record_has_ended(run: RunContext, attempt: Attempt) -> bool:
    """True if an attempt has made all the model calls of an original attempt that did not finish."""
    ledger = run.ledger
    original = ledger.attempts.find(attempt.id_in(_origin(run)))
    if original is None or original.status == "finished":
        return False
    return _turns(run, attempt.id) == _turns(run, original.id)


def _require_all_turns(run: RunContext) -> None:
    """Depart where an attempt finished before its original did."""
    ledger = run.ledger
    for attempt in ledger.attempts.list(run.id):
        original = attempt.id_in(_origin(run))
        here, there = _turns(run, attempt.id), _turns(run, original)
        if attempt.status == "finished" and not attempt.origin and here < there:
            where = f"{attempt.stage}, attempt {attempt.number}"
            payload = payloads.RehearsalDeparture(
                attempt=attempt.id, turn=here + 1, why="the attempt ended before this turn", diff=""
            )
            ledger.note(run.id, EventKind.REHEARSAL_DEPARTED, payload=payload)
            raise RehearsalDeparted(f"{where} ended before turn {here + 1}, which the record has")


def _turns(run: RunContext, attempt_id: str) -> int:
    return run.ledger.exchanges.usage(AttemptId.parse(attempt_id).run, attempt_id=attempt_id).turns


def _origin(run: RunContext) -> str:
    assert run.origin is not None  # noqa: S101  only rehearsals come here
    return run.origin.run
