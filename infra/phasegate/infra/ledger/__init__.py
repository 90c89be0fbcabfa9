"""The ledger: what happened, and the only word on it (P1–P5, P13).

Callers see `Ledger` and the records; nothing outside this package knows SQL. Order of life: a run is accepted, stage
attempts begin and finish, gates open and are decided, effects are intended, done and perhaps undone. Every such change
commits together with one event of the run's hash chain, or not at all.
"""

from phasegate.infra.ledger.ledger import Ledger
from phasegate.infra.ledger.records import (
    ENDED,
    STOPPED,
    Attempt,
    Decision,
    Effect,
    EffectClass,
    Event,
    Exchange,
    Gate,
    Lease,
    Message,
    Origin,
    Question,
    Run,
    RunOptions,
    RunStatus,
    Usage,
    Verdict,
)
from phasegate.infra.ledger.storage.store import new_id
from phasegate.infra.ledger.turns import TurnRecord

__all__ = [
    "ENDED",
    "STOPPED",
    "Attempt",
    "Decision",
    "Effect",
    "EffectClass",
    "Event",
    "Exchange",
    "Gate",
    "Lease",
    "Ledger",
    "Message",
    "Origin",
    "Question",
    "Run",
    "RunOptions",
    "RunStatus",
    "TurnRecord",
    "Usage",
    "Verdict",
    "new_id",
]
