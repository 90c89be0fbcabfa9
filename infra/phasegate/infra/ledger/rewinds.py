"""Going back: asked for by a person, performed by the engine, recorded as one change.

Called by the doors (`ask`) and by the flow that performs it. It deletes nothing: what is thrown away is marked with the
rewind's number and stays. Which rows those are is the caller's to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from phasegate.infra.errors import NotAllowed, NotFound
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.gates.command_checks import Commands
from phasegate.infra.ledger.gates.commands import CommandRequest
from phasegate.infra.ledger.records import Run
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.store import Store, UnitOfWork

_STANDS_STILL = frozenset({"waiting", "paused", "failed", "needs-operator", "done"})


@dataclass(frozen=True)
class Discarded:
    """Attempts, gates and effects that a rewind throws away, by id."""

    attempts: Sequence[str] = ()
    gates: Sequence[str] = ()
    effects: Sequence[str] = ()


class Rewinds:
    """The rewinds of the ledger's runs."""

    def __init__(self, store: Store) -> None:
        """Work on a store."""
        self._store, self._commands = store, Commands(store)

    def ask(self, run_id: str, checkpoint: int, *, actor: str, signature: str = "") -> None:
        """Record that a person wants a run put back to one of its checkpoints.

        Args:
            run_id: The run.
            checkpoint: The checkpoint's number.
            actor: The person's name.
            signature: Over the canonical command, where identity is `ssh`.

        Raises:
            NotAllowed: The run works, or ended in a way that leaves nothing to go back to. Or policy does not let this
                person rewind it, or the signature does not hold; that refusal is on record.
        """
        command = CommandRequest(run_id, "rewind", actor, {"checkpoint": checkpoint}, signature)
        after = self._commands.require_allowed(command)
        payload = {**command.arguments, **command.signed}
        with self._store.change(run_id, EventKind.RUN_REWIND_REQUESTED, actor=actor, payload=payload) as change:
            self._commands.require_latest(change, command, after)
            self.require_standing_still(_run(change, run_id))
            now = self._store.clock.now()
            for lease in change.connection.execute(select(schema.leases).where(schema.leases.c.run_id == run_id)):
                if lease.id.startswith(f"{run_id}/") and lease.expires_at > now:  # an attempt's; the engine has its own
                    raise NotAllowed(
                        f"{lease.id} is being worked on", remedy=f"`phasegate pause {run_id}` first, then try again."
                    )
            change.update(schema.runs, run_id, request="rewind", status="running", finished_at=None)

    def void(self, run_id: str, checkpoint: int, why: str) -> None:
        """Record that the engine puts a run back that it carries: what the run did since holds no more.

        Args:
            run_id: The run.
            checkpoint: The moment it goes back to.
            why: What has changed, in a sentence.
        """
        payload = payloads.RewindRequested(checkpoint=checkpoint, why=why)
        with self._store.change(run_id, EventKind.RUN_REWIND_REQUESTED, actor="engine", payload=payload) as change:
            change.update(schema.runs, run_id, request="rewind", status="running", finished_at=None)

    @staticmethod
    def require_standing_still(run: Run) -> None:
        """Refuse to put back a run that works, or that has been undone.

        Raises:
            NotAllowed: Saying which, and what to do.
        """
        if run.status in {"accepted", "running"}:
            raise NotAllowed(
                f"run {run.id} is {run.status}: a run that works is not put back",
                remedy=f"`phasegate pause {run.id}` first, and rewind it when it is paused.",
            )
        if run.status not in _STANDS_STILL:
            raise NotAllowed(
                f"run {run.id} is {run.status}: what it did is undone, and there is nothing to go back to",
                remedy="Start a new run of the same ticket.",
            )
        if run.request not in {"", "pause", "rewind"}:
            raise NotAllowed(f"run {run.id} is not put back: a person asked to {run.request} it")

    def asked(self, run_id: str) -> int:
        """The checkpoint that was asked for last, by a person who may or by the engine."""
        return self._commands.standing(run_id).checkpoint

    def count(self, run_id: str) -> int:
        """Number of rewinds of the run."""
        return len(self._payloads(run_id, EventKind.RUN_REWOUND))

    def record(self, run_id: str, discarded: Discarded, facts: Mapping[str, Any]) -> None:
        """Record a rewind that was performed, all of it at once; the run continues.

        Args:
            run_id: The run.
            discarded: What no longer counts.
            facts: JSON-able: where the run stands now, and where what was thrown away is kept.
        """
        number = self.count(run_id) + 1
        payload: dict[str, Any] = {"number": number, **facts}
        with self._store.change(run_id, EventKind.RUN_REWOUND, actor="engine", payload=payload) as change:
            for attempt in discarded.attempts:
                change.update(schema.attempts, attempt, superseded=number)
            for gate in discarded.gates:
                change.update(schema.gates, gate, status="void")
            for effect in discarded.effects:
                change.update(schema.effects, effect, superseded=number)
            request = _run(change, run_id).request
            kept = "" if request == "rewind" else request  # a person may have asked for the run's end meanwhile
            change.update(schema.runs, run_id, status="running", request=kept, reason=None, wake_at=None, recoveries=0)

    def _payloads(self, run_id: str, kind: EventKind) -> list[dict[str, Any]]:
        table = schema.events.c
        query = select(table.payload).where(table.run_id == run_id, table.kind == kind).order_by(table.position)
        with self._store.reading() as connection:
            return [json.loads(text) for text in connection.execute(query).scalars()]


def _run(change: UnitOfWork, run_id: str) -> Run:
    row = change.row(schema.runs, run_id)
    if row is None:
        raise NotFound(f"there is no run {run_id}", remedy="List the runs with `phasegate runs`.")
    return Run.model_validate(dict(row))
