"""Leases: which engine owns a run, with a fencing token.

Called by the engine's reconciler and by the lifecycle, never by people's doors. Exactly one engine owns a run: the
one whose lease has the highest token. A released lease says that nothing was interrupted; one that runs out says
that its engine died, or stood still for too long.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, and_, exists, not_, or_, select, update

from phasegate.infra.errors import LeaseHeld
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.records import Lease, Run
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.store import Store, UnitOfWork

_RUN_LEASE = "run/"
"""Beginning of the id of a lease on a whole run, before the run's id."""


def run_lease_id(run_id: str) -> str:
    """The name of the lease on a whole run."""
    return f"{_RUN_LEASE}{run_id}"


def put_lease(
    change: UnitOfWork, row: RowMapping | None, lease_id: str, *, run_id: str, holder: str, expires_at: datetime
) -> Lease:
    """Write a lease with the next token; `row` is its row so far."""
    values: dict[str, Any] = {
        "run_id": run_id,
        "holder": holder,
        "token": 1 if row is None else row["token"] + 1,
        "expires_at": expires_at,
        "released_at": None,
    }
    if row is None:
        change.insert(schema.leases, id=lease_id, **values)
    else:
        change.update(schema.leases, lease_id, **values)
    return Lease.model_validate({"id": lease_id, **values})


class Leases:
    """The `leases` section of the ledger: those on whole runs."""

    def __init__(self, store: Store) -> None:
        """Work on a store."""
        self._store = store

    def find(self, run_id: str) -> Lease | None:
        """The lease on a run, whether or not it still holds, or `None` if no engine ever had one."""
        query = select(schema.leases).where(schema.leases.c.id == run_lease_id(run_id))
        with self._store.reading() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else Lease.model_validate(dict(row))

    def runnable(self) -> list[Run]:
        """Runnable runs, oldest first.

        Accepted, running, or waiting with a decision made, a gate expired or a timer due. A run whose `wake_at` lies
        ahead sleeps until then, unless a person has asked for something. One query, however many runs wait.
        """
        runs, gates, leases = schema.runs.c, schema.gates.c, schema.leases.c
        open_gate = and_(gates.run_id == runs.id, gates.status == "open")
        now = self._store.clock.now()
        due = or_(runs.request != "", runs.wake_at.is_(None), runs.wake_at <= now)
        waits = and_(
            runs.request == "",
            runs.wake_at.is_(None),
            exists().where(open_gate, gates.expires_at > now),
            not_(exists().where(open_gate, gates.expires_at <= now)),
            not_(exists().where(leases.id == _RUN_LEASE + runs.id, leases.released_at.is_(None))),
        )
        query = select(schema.runs).where(
            due, or_(runs.status.in_(("accepted", "running")), and_(runs.status == "waiting", not_(waits)))
        )
        with self._store.reading() as connection:
            rows = connection.execute(query.order_by(runs.created_at)).mappings()
            return [Run.model_validate(dict(row)) for row in rows]

    def take(self, run_id: str, holder: str) -> Lease:
        """Take a run for an engine; a holder that has it already keeps its token.

        Raises:
            LeaseHeld: Another engine has it.

        Effects: an event `run.taken` when the run changes its owner; a repeat only extends the lease.
        """
        current = self.find(run_id)
        ours = current is not None and current.holder == holder and current.expires_at > self._store.clock.now()
        if current is not None and ours and self.renew(holder, [run_id]):
            return current
        payload: dict[str, Any] = {"holder": holder}
        with self._store.change(run_id, EventKind.RUN_TAKEN, actor="engine", payload=payload) as change:
            row, now = change.row(schema.leases, run_lease_id(run_id)), self._store.clock.now()
            if row is not None and row["expires_at"] > now and row["holder"] != holder:
                raise LeaseHeld(f"{row['holder']} owns {run_id}", delay=row["expires_at"] - now)
            lease = put_lease(
                change, row, run_lease_id(run_id), run_id=run_id, holder=holder, expires_at=now + self._store.lease
            )
            payload |= {"token": lease.token, "after": None if row is None else row["holder"]}
        return lease

    def renew(self, holder: str, run_ids: Collection[str]) -> int:
        """Extend the leases this holder still has on these runs.

        Returns:
            Number of leases it still has: one less for each that another engine has taken, or that was released.
        """
        table = schema.leases.c
        query = (
            update(schema.leases)
            .where(table.id.in_([run_lease_id(run_id) for run_id in run_ids]), table.holder == holder)
            .where(table.released_at.is_(None))
            .values(expires_at=self._store.clock.now() + self._store.lease)
        )
        with self._store.writing("leases", "lease.renewed") as connection:
            return connection.execute(query).rowcount

    def release(self, lease: Lease) -> None:
        """Release a run of this engine on purpose; nothing happens when it is another's by now."""
        table = schema.leases.c
        query = update(schema.leases).where(table.id == lease.id, table.token == lease.token)
        with self._store.writing(lease.run_id, "lease.let-go") as connection:
            connection.execute(query.where(table.holder == lease.holder).values(self._released()))

    def release_all(self, holder: str) -> None:
        """Release all of an engine's runs, as it stops on purpose."""
        with self._store.writing("leases", "lease.let-go-of-all") as connection:
            connection.execute(
                update(schema.leases)
                .where(schema.leases.c.holder == holder, schema.leases.c.id.startswith(_RUN_LEASE))
                .where(schema.leases.c.released_at.is_(None))
                .values(self._released())
            )

    def _released(self) -> dict[str, datetime]:
        """Column values of a lease that is released now."""
        now = self._store.clock.now()
        return {"expires_at": now, "released_at": now}

    def expire_previous(self, holder: str) -> None:
        """End the leases of earlier engines of this machine; called by the one engine that may run on it."""
        machine, table = holder.partition("/")[0], schema.leases.c
        with self._store.writing("leases", "lease.ended") as connection:
            connection.execute(
                update(schema.leases)
                .where(table.holder.startswith(f"{machine}/", autoescape=True), table.holder != holder)
                .where(table.expires_at > self._store.clock.now())
                .values(expires_at=self._store.clock.now())
            )
