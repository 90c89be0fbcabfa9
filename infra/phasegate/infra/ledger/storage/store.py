"""The one way into the database: a change is a transaction with exactly one event.

Used by the sections of the ledger (`runs`, `attempts`, …). `change` opens a write transaction; what is inserted or
updated through it is read back at the end, digested, and named in the event that commits with it.

A store may carry a fence, the lease of the engine that writes: once another engine has the run, nothing of the one
before it is written any more. People's writes carry none.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Never, TypeVar

from sqlalchemy import (
    Connection,
    RowMapping,
    Table,
    bindparam,
    insert,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import NullType

from phasegate.infra import crash_points
from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.clock import WallClock
from phasegate.infra.errors import LeaseHeld, LedgerUnavailable
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.records import Lease
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.compiled import CompiledStatement, DriverConnection, Row
from phasegate.infra.ledger.storage.database import translated
from phasegate.infra.ledger.storage.transaction import Connections, Transaction

Answer = TypeVar("Answer")

GENESIS = "sha256:" + "0" * 64
"""Hash that the first event of a run carries as the one before it."""

_PATIENCE = timedelta(seconds=3)
"""Time that transactions which have not begun wait for a database on its way back: in all, for each outage."""
_BETWEEN_TRIES = timedelta(milliseconds=200)


def new_id(prefix: str) -> str:
    """A fresh identifier that says what it names, such as `gate-5kq0x2m8v1tz`."""
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
    return f"{prefix}-{''.join(secrets.choice(alphabet) for _ in range(12))}"


def event_hash(previous: str, run_id: str, position: int, at: str, kind: str, actor: str, payload: str) -> str:
    """The `hash` that an event must have: the digest of the hash before it and of all its columns."""
    return sha256(canonical_json([previous, run_id, position, at, kind, actor, payload]))


_events, _leases = schema.events.c, schema.leases.c
_LAST = CompiledStatement(
    select(_events.position, _events.hash)
    .where(_events.run_id == bindparam("run"))
    .order_by(_events.position.desc())
    .limit(1)
)
_HOLDER = CompiledStatement(select(_leases.holder, _leases.token).where(_leases.id == bindparam("lease")))


@cache
def _inserting(table: Table) -> CompiledStatement:
    return CompiledStatement(insert(table))


@cache
def _row_as_stored(table: Table) -> CompiledStatement:
    columns = [type_coerce(column, NullType()).label(column.name) for column in table.c]
    return CompiledStatement(select(*columns).where(table.c.id == bindparam("row")))


def row_digest(connection: Connection, table: Table, row_id: str) -> str | None:
    """The digest of a row's stored columns, exactly as the database holds them, or `None` if there is no such row."""
    return _digest(DriverConnection.below(connection), table, row_id)


def _digest(direct: DriverConnection, table: Table, row_id: str) -> str | None:
    rows = _row_as_stored(table).execute(direct, row=row_id)
    return digest_of_row(table.name, dict(zip(table.c.keys(), rows[0], strict=True))) if rows else None


def digest_of_row(table: str, row: Mapping[str, Any]) -> str:
    """The digest of a row's columns that events vouch for, wherever the row was read."""
    vouched = {name: row[name] for name in row if (table, name) not in schema.UNVOUCHED_COLUMNS}
    for (of, name), older in schema.LATER_COLUMNS.items():
        if of == table and name in vouched and vouched[name] == older:
            del vouched[name]
    return sha256(canonical_json(vouched))


class UnitOfWork:
    """Unit of work: one write transaction, and the rows its event attests.

    Attributes:
        check_time: Check of the event's own time, made as it is appended; what it raises ends the change.
    """

    def __init__(self, transaction: Transaction) -> None:
        """Collect on an open transaction."""
        self._transaction = transaction
        self.direct = transaction.direct
        self.touched: dict[str, tuple[Table, str]] = {}
        self.is_aborted = False
        self.check_time: Callable[[datetime], None] | None = None

    @property
    def connection(self) -> Connection:
        """The transaction, for what is not `CompiledStatement`."""
        return self._transaction.connection

    def insert(self, table: Table, **values: Any) -> None:
        """Add a row; `id` is among the values."""
        if len(values) == len(table.c):
            _inserting(table).execute(self.direct, **values)
        else:  # what is not given is the column's default
            self.connection.execute(insert(table), values)
        self._touch(table, values["id"])

    def update(self, table: Table, row_id: str, **values: Any) -> None:
        """Change columns of a row that exists."""
        self.connection.execute(update(table).where(table.c.id == row_id).values(**values))
        self._touch(table, row_id)

    def attest(self, table: Table, row_id: str) -> None:
        """Attest a row that another run's event has written before."""
        self._touch(table, row_id)

    def insert_once(self, table: Table, **values: Any) -> None:
        """Add a row unless another run's change has added it, or is just adding it; vouch for it either way."""
        if self.connection.dialect.name == "postgresql":
            # Loading the dialect costs a command on SQLite as much as its own work.
            from sqlalchemy.dialects.postgresql import insert as insert_on_postgres  # noqa: PLC0415 -- see above

            self.connection.execute(insert_on_postgres(table).values(**values).on_conflict_do_nothing())
        else:
            self.connection.execute(sqlite.insert(table).values(**values).on_conflict_do_nothing())
        self._touch(table, values["id"])

    def abort(self) -> None:
        """Write nothing, and append no event: what was to be written is there already."""
        self.is_aborted = True

    def row(self, table: Table, row_id: str) -> RowMapping | None:
        """The row with this id, seen inside the transaction."""
        return self.connection.execute(select(table).where(table.c.id == row_id)).mappings().first()

    def _touch(self, table: Table, row_id: str) -> None:
        self.touched[f"{table.name}/{row_id}"] = (table, row_id)


class OutageWindow:
    """Window of an outage of the database: all who wait for it block their process no longer than one would."""

    def __init__(self) -> None:
        """None so far."""
        self._since: float | None = None

    def should_retry(self) -> bool:
        """Note that the database did not answer; true while it may still come back."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        return now - self._since < _PATIENCE.total_seconds()

    def reset(self) -> None:
        """Note that it answered."""
        self._since = None


class Store:
    """A database, a clock, how long a lease holds, and the fence that writes must be inside of, if any."""

    def __init__(
        self,
        connections: Connections,
        clock: WallClock,
        lease: timedelta,
        fence: Lease | None = None,
        outage: OutageWindow | None = None,
    ) -> None:
        """Use a database that was opened by `connect`."""
        self.connections = connections
        self.engine = connections.engine
        self.clock = clock
        self.lease = lease
        self.fence = fence
        self._outage = outage or OutageWindow()

    def fenced(self, fence: Lease | None) -> Store:
        """The same database behind this fence, or behind none."""
        return Store(self.connections, self.clock, self.lease, fence, self._outage)

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """A connection for reading only.

        Raises:
            LedgerUnavailable: The database went away; reading again is safe.
        """
        with translated(self.engine), self._patiently(self.engine.connect) as connection:
            yield connection

    def ask(self, question: CompiledStatement, **values: Any) -> list[Row]:
        """The answer to one question, whose rows are as they are stored.

        Raises:
            LedgerUnavailable: As `reading`.
        """

        def asked() -> list[Row]:
            with Transaction(self.connections) as transaction:
                return question.execute(transaction.direct, **values)

        return self._patiently(asked)

    @contextmanager
    def writing(self, run_id: str, kind: str) -> Generator[Connection]:
        """A write transaction without an event, for what nothing vouches for; no other about the same run overlaps it.

        Args:
            run_id: Whose rows are written.
            kind: Names the crash points before and after it, `noun.verb`.

        Raises:
            LedgerUnavailable: The database went away. If that was while committing, the rows may have been written all
                the same: look before writing them again.
        """
        with self._transaction(run_id) as transaction:
            yield transaction.connection
            crash_points.reached(f"before:{kind}")
        crash_points.reached(f"after:{kind}")

    @contextmanager
    def _transaction(self, run_id: str, *, synced: bool = True) -> Generator[Transaction]:
        with translated(self.engine):
            begun = self._patiently(lambda: Transaction.to_write(self.connections, run_id, synced=synced))
            with begun as transaction:
                yield transaction
                transaction.commit()

    def _patiently(self, call: Callable[[], Answer]) -> Answer:
        """Retry a call while the database is away, for a while; what the call does may be done twice.

        Returns:
            What the call returned.
        """
        while True:
            try:
                with translated(self.engine):
                    answer = call()
            except LedgerUnavailable:
                if not self._outage.should_retry():
                    raise
                time.sleep(_BETWEEN_TRIES.total_seconds())
            else:
                self._outage.reset()
                return answer

    def require_fence(self, run_id: str, doing: str) -> None:
        """Make sure that the run is still this engine's before something happens that the ledger cannot hold back.

        Raises:
            LeaseHeld: Another engine has the run.
        """
        holder = None if self.fence is None else _another(self.fence, self.ask(_HOLDER, lease=self.fence.id))
        if holder is not None:
            self._refuse(run_id, doing, holder)

    @contextmanager
    def change(
        self, run_id: str, kind: EventKind, *, actor: str, payload: Mapping[str, Any] | None = None, synced: bool = True
    ) -> Generator[UnitOfWork]:
        """Open a write transaction that ends in one event of this kind, or in nothing at all.

        Args:
            run_id: Whose chain the event joins.
            kind: The event's kind.
            actor: Who or what caused it.
            payload: The facts of its kind, JSON-able; the caller may add to it until the block ends.
            synced: True to wait until it is on disk. One that is not outlives the process all the same; a power cut
                may take it, with all that was written after it, until the next synced change.

        Raises:
            LeaseHeld: The store's fence is down: another engine has the run. An event names the refused change.
            LedgerUnavailable: As `writing` says.
        """
        with self._transaction(run_id, synced=synced) as transaction:
            holder = self._fenced_off_by(transaction.direct)
            if holder is None:
                change = UnitOfWork(transaction)
                yield change
                if change.is_aborted:
                    return
                self._append(change, run_id, kind, actor, payload or {})
                crash_points.reached(f"before:{kind}")
        if holder is not None:
            self._refuse(run_id, kind, holder)
        crash_points.reached(f"after:{kind}")

    def _fenced_off_by(self, direct: DriverConnection) -> str | None:
        """The holder that has taken the lease of this store's fence, or `None` while it stands, or if there is none."""
        return None if self.fence is None else _another(self.fence, _HOLDER.execute(direct, lease=self.fence.id))

    def _refuse(self, run_id: str, doing: str, holder: str) -> Never:
        assert self.fence is not None  # noqa: S101  nothing else refuses
        payload = payloads.WriteRefused(kind=str(doing), late=self.fence.holder, token=self.fence.token, holder=holder)
        with self.fenced(None).change(run_id, EventKind.WRITE_REFUSED, actor="engine", payload=payload):
            pass
        raise LeaseHeld(f"{holder} has taken {run_id} over: {doing} of {self.fence.holder} is refused")

    def _append(self, change: UnitOfWork, run_id: str, kind: EventKind, actor: str, payload: Mapping[str, Any]) -> None:
        rows = {name: _digest(change.direct, *where) for name, where in sorted(change.touched.items())}
        last, previous = next(iter(_LAST.execute(change.direct, run=run_id)), (0, GENESIS))
        position = last + 1
        now = self.clock.now()
        if change.check_time is not None:
            change.check_time(now)
        at = now.isoformat(timespec="microseconds")
        body = canonical_json({**payload, "rows": rows})
        _inserting(schema.events).execute(
            change.direct,
            id=f"{run_id}/{position}",
            run_id=run_id,
            position=position,
            at=at,
            kind=str(kind),
            actor=actor,
            payload=body,
            previous=previous,
            hash=event_hash(previous, run_id, position, at, str(kind), actor, body),
        )


def _another(fence: Lease, rows: Sequence[Row]) -> str | None:
    """The holder of a lease if it is another than the fence's, or `None` if it is the same."""
    if rows == [(fence.holder, fence.token)]:
        return None
    return str(rows[0][0]) if rows else "nobody"
