"""Standing of a run by its events alone: its status and the request that it has yet to meet.

The run's row repeats both for readers. Pure: it is told which commands hold. Used by `command_checks`, which puts the
row right, and by the audit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, get_args

from phasegate.infra.ledger.chain import Link
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.gates.commands import COMMAND_KINDS
from phasegate.infra.ledger.records import ENDED, STOPPED, Run, RunStatus

_STATUS_EVENTS = {f"run.{status}": status for status in get_args(RunStatus)}
_GATE_EVENTS = {
    EventKind.GATE_OPENED: "waiting",
    EventKind.GATE_DECIDED: "running",
    EventKind.GATE_OVERRIDDEN: "running",
    EventKind.GATE_CARRIED: "running",
    EventKind.GATE_OUTDATED: "running",
}
"""Events of gates to the status that they give a run, if they touch its row."""
STANDING_KINDS: frozenset[str] = frozenset(
    {*_STATUS_EVENTS, *_GATE_EVENTS, *COMMAND_KINDS, EventKind.RUN_REWOUND, EventKind.COMMAND_REFUSED}
)
"""Kinds of all events that say where a run stands."""
HALTED = STOPPED | {"paused"}
"""Statuses that only a command or a decision of a person ends."""


@dataclass(frozen=True)
class Standing:
    """Place of a run by its events.

    Attributes:
        status: The run's status.
        request: The request that it has yet to meet; empty: none.
        reason: The reason of the status.
        at: The time of the event that gave it.
        checkpoint: The checkpoint that the latest rewind goes to.
    """

    status: str
    request: str
    reason: dict[str, Any] | None
    at: datetime
    checkpoint: int = 0

    def is_of(self, run: Run) -> bool:
        """True if a run's row says the same, as far as only commands change it."""
        is_halted = self.status in HALTED
        return run.request == self.request and (not is_halted or run.status == self.status)


def standing(run_id: str, links: Iterable[Link], holds: Callable[[Link], bool]) -> Standing:
    """Place of a run by its events.

    Args:
        run_id: The run.
        links: The run's events of `STANDING_KINDS`, in order.
        holds: True for an event of a command that counts.
    """
    now = Standing("accepted", "", None, datetime.min.replace(tzinfo=UTC))
    for link in links:
        if link.kind in COMMAND_KINDS:
            now = _commanded(now, link) if holds(link) else now
        elif link.kind in _STATUS_EVENTS:
            status = _STATUS_EVENTS[link.kind]
            request = "" if status in ENDED else now.request
            now = Standing(status, request, link.payload.get("reason"), link.at, now.checkpoint)
        elif link.kind == EventKind.RUN_REWOUND:
            now = replace(now, status="running", request="" if now.request == "rewind" else now.request, reason=None)
        elif link.kind in _GATE_EVENTS and f"runs/{run_id}" in link.payload["rows"]:
            now = replace(now, status=_GATE_EVENTS[EventKind(link.kind)], at=link.at)
    return now


def _commanded(now: Standing, link: Link) -> Standing:
    """Place of a run after a command that counts."""
    match link.kind:
        case EventKind.RUN_PAUSE_REQUESTED:
            return replace(now, request="pause")
        case EventKind.RUN_CANCEL_REQUESTED:
            return replace(now, request="cancel", status="running")
        case EventKind.RUN_ROLLBACK_REQUESTED:
            return replace(now, request="rollback", status="running")
        case EventKind.RUN_REWIND_REQUESTED:
            return replace(now, request="rewind", status="running", checkpoint=int(link.payload["checkpoint"]))
        case EventKind.RUN_RESUMED:
            request = "rewind" if now.request == "rewind" else ""
            return replace(now, request=request, status="running", reason=None)
        case _:
            return now
