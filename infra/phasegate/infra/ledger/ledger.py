"""The facade: one ledger, opened by URL, with a section per kind of record."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import select

from phasegate.infra.clock import SystemClock, WallClock
from phasegate.infra.ledger.artifacts import Artifacts
from phasegate.infra.ledger.attempts import Attempts
from phasegate.infra.ledger.effects import Effects
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.exchanges import Exchanges
from phasegate.infra.ledger.gates.command_checks import Commands
from phasegate.infra.ledger.gates.gates import Gates
from phasegate.infra.ledger.leases import Leases
from phasegate.infra.ledger.messages import Messages
from phasegate.infra.ledger.questions import Questions
from phasegate.infra.ledger.records import Event, Lease
from phasegate.infra.ledger.rewinds import Rewinds
from phasegate.infra.ledger.runs import Runs
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.database import connect
from phasegate.infra.ledger.storage.store import Store
from phasegate.infra.ledger.storage.transaction import Connections
from phasegate.infra.ledger.trail.audit import Heads, TrailAudit, audit, audit_chain
from phasegate.infra.ledger.trail_rows import DatabaseRows, Row, exported, lineage
from phasegate.infra.ledger.turns import Turns


class Ledger:
    """Ledger, in sections: one per kind of record."""

    def __init__(self, store: Store) -> None:
        """Use `Ledger.open`."""
        self._store = store
        self.runs = Runs(store)
        self.artifacts = Artifacts(store)
        self.attempts = Attempts(store)
        self.leases = Leases(store)
        self.gates = Gates(store)
        self.commands = Commands(store)
        self.effects = Effects(store)
        self.rewinds = Rewinds(store)
        self.exchanges = Exchanges(store)
        self.turns = Turns(store)
        self.messages = Messages(store)
        self.questions = Questions(store)

    @classmethod
    def open(cls, url: str, *, clock: WallClock | None = None, lease: timedelta = timedelta(seconds=60)) -> Self:
        """Open, and bring to the newest format if need be.

        Args:
            url: `sqlite:///…` or `postgresql://…`.
            clock: Another clock than the machine's.
            lease: How long what an engine holds stays its own without a sign of life.

        Raises:
            ConfigError: A newer phasegate wrote it, or the address names no database phasegate knows.
            LedgerUnavailable: The database does not answer.
        """
        return cls(Store(Connections(connect(url)), clock or SystemClock(), lease))

    def fenced(self, lease: Lease) -> Self:
        """The same ledger for an engine that carries a run: it writes only while the lease is the newest."""
        return type(self)(self._store.fenced(lease))

    def close(self) -> None:
        """Close the connections to the database."""
        self._store.connections.close()

    def now(self) -> datetime:
        """The time that the ledger's rows carry."""
        return self._store.clock.now()

    def note(
        self,
        run_id: str,
        kind: EventKind,
        *,
        actor: str = "engine",
        payload: Mapping[str, Any] | None = None,
        synced: bool = True,
    ) -> None:
        """Append an event that touches no row, such as what a stage is doing now; `synced` is as in `Store.change`."""
        with self._store.change(run_id, kind, actor=actor, payload=payload, synced=synced):
            pass

    def events(self, run_id: str, *, after: int = 0, kinds: Collection[str] = ()) -> list[Event]:
        """A run's events, oldest first, from behind a position; only those of some kinds, unless none is named."""
        table = schema.events.c
        query = select(schema.events).where(table.run_id == run_id, table.position > after).order_by(table.position)
        if kinds:
            query = query.where(table.kind.in_(kinds))
        with self._store.reading() as connection:
            return [_event(row) for row in connection.execute(query).mappings()]

    def newest(self, run_id: str) -> Event:
        """A run's latest event; it has one from the moment it is accepted."""
        table = schema.events.c
        query = select(schema.events).where(table.run_id == run_id).order_by(table.position.desc()).limit(1)
        with self._store.reading() as connection:
            return _event(connection.execute(query).mappings().one())

    def exported(self, run_id: str) -> dict[str, list[Row]]:
        """Every row of a run's trail as it is stored, and of those it replays, by table."""
        with self._store.reading() as connection:
            return exported(DatabaseRows(connection), run_id)

    def lineage(self, run_id: str) -> list[str]:
        """A run, the run it replays, and so on."""
        with self._store.reading() as connection:
            return lineage(DatabaseRows(connection), run_id)

    def audit(self, run_id: str, heads: Heads = ()) -> TrailAudit:
        """Recompute every hash and digest of a run's trail.

        Args:
            run_id: The run.
            heads: Positions and hashes of events as they were seen outside of the ledger.

        Raises:
            TrailBroken: Something does not hold; the message names the first row that does not.
        """
        return audit(self._store, run_id, heads)

    def audit_chain(self, run_id: str, heads: Heads) -> None:
        """Recompute the hashes of a run's events, and find the heads among them.

        Raises:
            TrailBroken: Naming the first event that does not hold.
        """
        audit_chain(self._store, run_id, heads)


def _event(row: Mapping[Any, Any]) -> Event:
    return Event.model_validate({**row, "payload": json.loads(row["payload"])})
