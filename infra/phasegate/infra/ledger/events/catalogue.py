"""Catalogue of events: the payload that belongs to each kind, and the way to read it with its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, cast

from phasegate.infra.ledger.events import payloads
from phasegate.infra.ledger.events.kinds import EventKind

Payload = TypeVar("Payload")


class StoredEvent(Protocol):
    """An event as it was read: a row of the ledger, or a link of its chain."""

    @property
    def kind(self) -> str:
        """The kind; a later version's may be none of `EventKind`."""
        ...

    @property
    def payload(self) -> Mapping[str, Any]:
        """The facts."""
        ...


PAYLOADS: Mapping[str, type[Mapping[str, Any]]] = {
    EventKind.RUN_ACCEPTED: payloads.RunAccepted,
    EventKind.RUN_DISPATCHED: payloads.Nothing,
    EventKind.RUN_TAKEN: payloads.RunTaken,
    EventKind.RUN_RUNNING: payloads.RunStatusChanged,
    EventKind.RUN_WAITING: payloads.RunStatusChanged,
    EventKind.RUN_PAUSED: payloads.RunStatusChanged,
    EventKind.RUN_DONE: payloads.RunStatusChanged,
    EventKind.RUN_FAILED: payloads.RunStatusChanged,
    EventKind.RUN_REJECTED: payloads.RunStatusChanged,
    EventKind.RUN_CANCELLED: payloads.RunStatusChanged,
    EventKind.RUN_ROLLED_BACK: payloads.RunStatusChanged,
    EventKind.RUN_NEEDS_OPERATOR: payloads.RunStatusChanged,
    EventKind.RUN_PAUSE_REQUESTED: payloads.CommandGiven,
    EventKind.RUN_CANCEL_REQUESTED: payloads.CommandGiven,
    EventKind.RUN_ROLLBACK_REQUESTED: payloads.CommandGiven,
    EventKind.RUN_REWIND_REQUESTED: payloads.RewindRequested,
    EventKind.RUN_REWOUND: payloads.RunRewound,
    EventKind.RUN_RESUMED: payloads.CommandGiven,
    EventKind.RUN_RECOVERED: payloads.Nothing,
    EventKind.ROLLBACK_BEGAN: payloads.RollbackBegan,
    EventKind.WRITE_REFUSED: payloads.WriteRefused,
    EventKind.ATTEMPT_STARTED: payloads.AttemptStarted,
    EventKind.ATTEMPT_ADOPTED: payloads.AttemptAdopted,
    EventKind.ATTEMPT_FINISHED: payloads.AttemptFinished,
    EventKind.ATTEMPT_FAILED: payloads.AttemptFailed,
    EventKind.ATTEMPT_CHECKPOINTED: payloads.AttemptCheckpointed,
    EventKind.STAGE_OBSERVED: payloads.StageObserved,
    EventKind.STAGE_STEP: payloads.StageStep,
    EventKind.TURN_ANSWERED: payloads.TurnAnswered,
    EventKind.TURN_CUT: payloads.TurnCut,
    EventKind.MODEL_REPLACED: payloads.ModelReplaced,
    EventKind.TOOLS_ANSWERED: payloads.ToolsAnswered,
    EventKind.THREAD_COMPACTED: payloads.ThreadCompacted,
    EventKind.TOOL_DENIED: payloads.ToolRefusal,
    EventKind.SANDBOX_ATTEMPTED: payloads.SandboxAttempted,
    EventKind.SECRET_MASKED: payloads.SecretMasked,
    EventKind.QUESTION_ASKED: payloads.AgentQuestion,
    EventKind.QUESTION_ANSWERED: payloads.QuestionAnswered,
    EventKind.MESSAGE_QUEUED: payloads.MessageQueued,
    EventKind.MESSAGE_DELIVERED: payloads.MessageDelivered,
    EventKind.GATE_PREPARED: payloads.GatePrepared,
    EventKind.GATE_OPENED: payloads.GateOpened,
    EventKind.GATE_SHOWN: payloads.GateShown,
    EventKind.GATE_DECIDED: payloads.GateDecided,
    EventKind.GATE_OVERRIDDEN: payloads.GateDecided,
    EventKind.GATE_SKIPPED: payloads.GateSkipped,
    EventKind.GATE_CARRIED: payloads.GateCarried,
    EventKind.GATE_REHEARSED: payloads.GateRehearsed,
    EventKind.GATE_OUTDATED: payloads.GateOutdated,
    EventKind.GATE_VOID: payloads.GateClosed,
    EventKind.GATE_EXPIRED: payloads.GateClosed,
    EventKind.GATE_REFUSED: payloads.GateRefused,
    EventKind.DECISION_REFUSED: payloads.DecisionRefused,
    EventKind.COMMAND_REFUSED: payloads.CommandRefused,
    EventKind.STATE_REFUSED: payloads.StateRefused,
    EventKind.APPROVAL_CARRIED: payloads.ApprovalMoved,
    EventKind.APPROVAL_LAPSED: payloads.ApprovalMoved,
    EventKind.EFFECT_INTENDED: payloads.EffectIntended,
    EventKind.EFFECT_DONE: payloads.EffectSettled,
    EventKind.EFFECT_UNDONE: payloads.EffectSettled,
    EventKind.EFFECT_STUCK: payloads.EffectStuck,
    EventKind.EFFECT_ADOPTED: payloads.EffectAdopted,
    EventKind.EFFECT_REHEARSED: payloads.EffectRehearsed,
    EventKind.REHEARSAL_DEPARTED: payloads.RehearsalDeparture,
}
"""Payload of each kind."""


def payload_of(event: StoredEvent, shape: type[Payload]) -> Payload:
    """The payload of an event, with its type: `payload_of(event, payloads.GateOpened)["number"]`.

    Raises:
        TypeError: Events of this kind carry another payload.
    """
    if PAYLOADS.get(event.kind) is not shape:
        raise TypeError(f"an event {event.kind} carries no {shape.__name__}")
    return cast("Payload", event.payload)
