"""The one way into the database: a change is a transaction with exactly one event.

Used by the sections of the ledger (`runs`, `attempts`, …). `change` opens a write transaction; what is inserted or
updated through it is read back at the end, digested, and named in the event that commits with it.

A store may carry a fence, the lease of the engine that writes: once another engine has the run, nothing of the one
before it is written any more. People's writes carry none.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, Never

from sqlalchemy import (
    Connection,
    Engine,
    Insert,
    RowMapping,
    Select,
    Table,
    bindparam,
    insert,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import NullType

from phasegate.infra import crash_points
from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.clock import WallClock
from phasegate.infra.errors import LeaseHeld, LedgerUnavailable
from phasegate.infra.ledger import schema
from phasegate.infra.ledger.database import translated
from phasegate.infra.ledger.records import Lease

GENESIS = "sha256:" + "0" * 64
"""What the first event of a run carries as the hash before it."""

_PATIENCE = timedelta(seconds=3)
"""How long transactions that have not begun wait for a database on its way back: in all, for each time it goes away."""
_BETWEEN_TRIES = timedelta(milliseconds=200)


def new_id(prefix: str) -> str:
    """A fresh identifier that says what it names, such as `gate-5kq0x2m8v1tz`."""
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
    return f"{prefix}-{''.join(secrets.choice(alphabet) for _ in range(12))}"


def event_hash(previous: str, run_id: str, position: int, at: str, kind: str, actor: str, payload: str) -> str:
    """What an event's `hash` must be: the digest over the hash before it and all it says."""
    return sha256(canonical_json([previous, run_id, position, at, kind, actor, payload]))


# Statements of every change, put together once: that takes longer than the database takes to carry them out.
_events = schema.events.c
_LAST = (
    select(_events.position, _events.hash)
    .where(_events.run_id == bindparam("run"))
    .order_by(_events.position.desc())
    .limit(1)
)
_APPEND = insert(schema.events)
_HOLDER = select(schema.leases.c.holder, schema.leases.c.token).where(schema.leases.c.id == bindparam("lease"))


@cache
def _inserting(table: Table) -> Insert:
    return insert(table)


@cache
def _row_as_stored(table: Table) -> Select[Any]:
    columns = [type_coerce(column, NullType()).label(column.name) for column in table.c]
    return select().add_columns(*columns).where(table.c.id == bindparam("row"))


def row_digest(connection: Connection, table: Table, row_id: str) -> str | None:
    """The digest of a row's stored columns, as text or numbers, exactly as the database holds them; None: no row."""
    row = connection.execute(_row_as_stored(table), {"row": row_id}).mappings().first()
    if row is None:
        return None
    return digest_of_row(table.name, dict(row))


def digest_of_row(table: str, row: Mapping[str, Any]) -> str:
    """The digest of a row's columns that events vouch for, wherever the row was read."""
    vouched = {name: row[name] for name in row if (table, name) not in schema.UNVOUCHED_COLUMNS}
    for (of, name), older in schema.LATER_COLUMNS.items():
        if of == table and name in vouched and vouched[name] == older:
            del vouched[name]
    return sha256(canonical_json(vouched))


def _lock_key(run_id: str) -> int:
    """The key of a run's advisory lock on Postgres, a signed 64-bit number."""
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8], "big", signed=True)


class Change:
    """What one write transaction touches."""

    def __init__(self, connection: Connection) -> None:
        """Collect on an open transaction."""
        self.connection = connection
        self.touched: dict[str, tuple[Table, str]] = {}
        self.is_called_off = False

    def insert(self, table: Table, **values: Any) -> None:
        """Add a row; `id` is among the values."""
        self.connection.execute(_inserting(table), values)
        self._touch(table, values["id"])

    def update(self, table: Table, row_id: str, **values: Any) -> None:
        """Change columns of a row that exists."""
        self.connection.execute(update(table).where(table.c.id == row_id).values(**values))
        self._touch(table, row_id)

    def keep(self, table: Table, row_id: str) -> None:
        """Vouch for a row that another run's event has written before."""
        self._touch(table, row_id)

    def insert_once(self, table: Table, **values: Any) -> None:
        """Add a row unless another run's change has added it, or is just adding it; vouch for it either way."""
        add = postgresql.insert if self.connection.dialect.name == "postgresql" else sqlite.insert
        self.connection.execute(add(table).values(**values).on_conflict_do_nothing())
        self._touch(table, values["id"])

    def call_off(self) -> None:
        """Change nothing, and append no event: what was to be written is there already."""
        self.is_called_off = True

    def one(self, table: Table, row_id: str) -> RowMapping | None:
        """The row with this id, seen inside the transaction."""
        return self.connection.execute(select(table).where(table.c.id == row_id)).mappings().first()

    def _touch(self, table: Table, row_id: str) -> None:
        self.touched[f"{table.name}/{row_id}"] = (table, row_id)


class Outage:
    """Since when the database does not answer: all who wait for it block their process no longer than one would."""

    def __init__(self) -> None:
        """None so far."""
        self._since: float | None = None

    def is_worth_waiting(self) -> bool:
        """Note that the database did not answer; whether it may still be on its way back."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        return now - self._since < _PATIENCE.total_seconds()

    def is_over(self) -> None:
        """Note that it answered."""
        self._since = None


class Store:
    """A database, a clock, how long a lease holds, and the fence that writes must be inside of, if any."""

    def __init__(
        self,
        engine: Engine,
        clock: WallClock,
        lease: timedelta,
        fence: Lease | None = None,
        outage: Outage | None = None,
    ) -> None:
        """Use an engine made by `connect`."""
        self.engine = engine
        self.clock = clock
        self.lease = lease
        self.fence = fence
        self._outage = outage or Outage()

    def fenced(self, fence: Lease | None) -> Store:
        """The same database behind this fence, or behind none."""
        return Store(self.engine, self.clock, self.lease, fence, self._outage)

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """A connection for reading only.

        Raises:
            LedgerUnavailable: The database went away; reading again is safe.
        """
        with translated(self.engine), ExitStack() as stack:
            yield self._begun(stack, None)

    @contextmanager
    def writing(self, run_id: str, kind: str) -> Generator[Connection]:
        """A write transaction without an event, for what nothing vouches for; no other about the same run overlaps it.

        Args:
            run_id: Whose rows are written.
            kind: Names the crash points before and after it, `noun.verb`.

        Raises:
            LedgerUnavailable: The database went away. If that was while committing, it may have been written all the
                same: whoever writes again looks first.
        """
        with self._transaction(run_id) as connection:
            yield connection
            crash_points.reached(f"before:{kind}")
        crash_points.reached(f"after:{kind}")

    @contextmanager
    def _transaction(self, run_id: str, *, synced: bool = True) -> Generator[Connection]:
        with translated(self.engine), ExitStack() as stack:
            yield self._begun(stack, run_id, synced=synced)

    def _begun(self, stack: ExitStack, run_id: str | None, *, synced: bool = True) -> Connection:
        """A connection in a transaction; tried again for a while, since nothing has been done on it yet."""
        while True:
            attempt = ExitStack()
            try:
                with attempt, translated(self.engine):
                    connection = self._begin(attempt, run_id, synced=synced)
                    stack.push(attempt.pop_all())
                    self._outage.is_over()
                    return connection
            except LedgerUnavailable:
                if not self._outage.is_worth_waiting():
                    raise
            time.sleep(_BETWEEN_TRIES.total_seconds())

    def _begin(self, stack: ExitStack, run_id: str | None, *, synced: bool) -> Connection:
        connection = stack.enter_context(self.engine.connect())
        if run_id is not None:
            connection = connection.execution_options(phasegate_write=True, phasegate_unsynced=not synced)
        stack.enter_context(connection.begin())
        if run_id is not None and self.engine.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _lock_key(run_id)})
            if not synced:
                connection.execute(text("SET LOCAL synchronous_commit = off"))
        return connection

    def require_fence(self, run_id: str, doing: str) -> None:
        """Make sure that the run is still this engine's before something happens that the ledger cannot hold back.

        Raises:
            LeaseHeld: Another engine has the run.
        """
        with self.reading() as connection:
            holder = self._fenced_off_by(connection)
        if holder is not None:
            self._refuse(run_id, doing, holder)

    @contextmanager
    def change(
        self, run_id: str, kind: str, *, actor: str, payload: Mapping[str, Any] | None = None, synced: bool = True
    ) -> Generator[Change]:
        """Open a write transaction that ends in one event of this kind, or in nothing at all.

        Args:
            run_id: Whose chain the event joins.
            kind: The event's kind, `noun.verb`.
            actor: Who or what caused it.
            payload: JSON-able facts; the caller may add to it until the block ends.
            synced: Whether to wait until it is on disk. One that is not outlives the process all the same; a power cut
                may take it, with all that was written after it, until the next synced change.

        Raises:
            LeaseHeld: The store's fence is down: another engine has the run. An event names the refused change.
            LedgerUnavailable: As `writing` says.
        """
        with self._transaction(run_id, synced=synced) as connection:
            holder = self._fenced_off_by(connection)
            if holder is None:
                change = Change(connection)
                yield change
                if change.is_called_off:
                    return
                self._append(change, run_id, kind, actor, payload or {})
                crash_points.reached(f"before:{kind}")
        if holder is not None:
            self._refuse(run_id, kind, holder)
        crash_points.reached(f"after:{kind}")

    def _fenced_off_by(self, connection: Connection) -> str | None:
        """Who has taken what this store's fence is about; None while it stands, or there is none."""
        if self.fence is None:
            return None
        row = connection.execute(_HOLDER, {"lease": self.fence.id}).first()
        if row is not None and (row.holder, row.token) == (self.fence.holder, self.fence.token):
            return None
        return "nobody" if row is None else str(row.holder)

    def _refuse(self, run_id: str, doing: str, holder: str) -> Never:
        assert self.fence is not None  # noqa: S101  nothing else refuses
        payload = {"kind": doing, "late": self.fence.holder, "token": self.fence.token, "holder": holder}
        with self.fenced(None).change(run_id, "write.refused", actor="engine", payload=payload):
            pass
        raise LeaseHeld(f"{holder} has taken {run_id} over: {doing} of {self.fence.holder} is refused")

    def _append(self, change: Change, run_id: str, kind: str, actor: str, payload: Mapping[str, Any]) -> None:
        rows = {name: row_digest(change.connection, *where) for name, where in sorted(change.touched.items())}
        last = change.connection.execute(_LAST, {"run": run_id}).first()
        position, previous = (1, GENESIS) if last is None else (last.position + 1, last.hash)
        at = self.clock.now().isoformat(timespec="microseconds")
        body = canonical_json({**payload, "rows": rows})
        change.connection.execute(
            _APPEND,
            {
                "id": f"{run_id}/{position}",
                "run_id": run_id,
                "position": position,
                "at": at,
                "kind": kind,
                "actor": actor,
                "payload": body,
                "previous": previous,
                "hash": event_hash(previous, run_id, position, at, kind, actor, body),
            },
        )
