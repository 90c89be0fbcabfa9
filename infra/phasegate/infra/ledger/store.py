"""The one way into the database: a change is a transaction with exactly one event.

Used by the sections of the ledger (`runs`, `attempts`, …). `change` opens a write transaction; what is inserted or
updated through it is read back at the end, digested, and named in the event that commits with it.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, Table, insert, select, text, update

from phasegate.infra import crash_points
from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.clock import WallClock
from phasegate.infra.ledger import schema

GENESIS = "sha256:" + "0" * 64
"""What the first event of a run carries as the hash before it."""


def new_id(prefix: str) -> str:
    """A fresh identifier that says what it names, such as `gate-5kq0x2m8v1tz`."""
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
    return f"{prefix}-{''.join(secrets.choice(alphabet) for _ in range(12))}"


def event_hash(previous: str, run_id: str, position: int, at: str, kind: str, actor: str, payload: str) -> str:
    """What an event's `hash` must be: the digest over the hash before it and all it says."""
    return sha256(canonical_json([previous, run_id, position, at, kind, actor, payload]))


def row_digest(connection: Connection, table: Table, row_id: str) -> str | None:
    """The digest of a row's stored columns, as text or numbers, exactly as the database holds them; None: no row."""
    row = connection.execute(text(f'SELECT * FROM "{table.name}" WHERE id = :id'), {"id": row_id}).mappings().first()  # noqa: S608  the name is our own schema's
    if row is None:
        return None
    return sha256(
        canonical_json({name: row[name] for name in row if (table.name, name) not in schema.UNVOUCHED_COLUMNS})
    )


class Change:
    """What one write transaction touches."""

    def __init__(self, connection: Connection) -> None:
        """Collect on an open transaction."""
        self.connection = connection
        self.touched: dict[str, tuple[Table, str]] = {}

    def insert(self, table: Table, **values: Any) -> None:
        """Add a row; `id` is among the values."""
        self.connection.execute(insert(table).values(**values))
        self._touch(table, values["id"])

    def update(self, table: Table, row_id: str, **values: Any) -> None:
        """Change columns of a row that exists."""
        self.connection.execute(update(table).where(table.c.id == row_id).values(**values))
        self._touch(table, row_id)

    def keep(self, table: Table, row_id: str) -> None:
        """Vouch for a row that another run's event has written before."""
        self._touch(table, row_id)

    def one(self, table: Table, row_id: str) -> RowMapping | None:
        """The row with this id, seen inside the transaction."""
        return self.connection.execute(select(table).where(table.c.id == row_id)).mappings().first()

    def _touch(self, table: Table, row_id: str) -> None:
        self.touched[f"{table.name}/{row_id}"] = (table, row_id)


class Store:
    """A database and a clock."""

    def __init__(self, engine: Engine, clock: WallClock) -> None:
        """Use an engine made by `connect`."""
        self.engine = engine
        self.clock = clock

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """A connection for reading only."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def change(
        self, run_id: str, kind: str, *, actor: str, payload: Mapping[str, Any] | None = None
    ) -> Generator[Change]:
        """Open a write transaction that ends in one event of this kind, or in nothing at all.

        Args:
            run_id: Whose chain the event joins.
            kind: The event's kind, `noun.verb`.
            actor: Who or what caused it.
            payload: JSON-able facts; the caller may add to it until the block ends.
        """
        with self.engine.connect().execution_options(phasegate_write=True) as connection, connection.begin():
            change = Change(connection)
            yield change
            self._append(change, run_id, kind, actor, payload or {})
            crash_points.reached(f"before:{kind}")
        crash_points.reached(f"after:{kind}")

    def _append(self, change: Change, run_id: str, kind: str, actor: str, payload: Mapping[str, Any]) -> None:
        rows = {name: row_digest(change.connection, *where) for name, where in sorted(change.touched.items())}
        last = change.connection.execute(
            select(schema.events.c.position, schema.events.c.hash)
            .where(schema.events.c.run_id == run_id)
            .order_by(schema.events.c.position.desc())
            .limit(1)
        ).first()
        position, previous = (1, GENESIS) if last is None else (last.position + 1, last.hash)
        at = self.clock.now().isoformat(timespec="microseconds")
        body = canonical_json({**payload, "rows": rows})
        change.connection.execute(
            insert(schema.events).values(
                id=f"{run_id}/{position}",
                run_id=run_id,
                position=position,
                at=at,
                kind=kind,
                actor=actor,
                payload=body,
                previous=previous,
                hash=event_hash(previous, run_id, position, at, kind, actor, body),
            )
        )
