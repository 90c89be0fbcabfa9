"""Transactions on one connection of the ledger's; SQLAlchemy is put on top of it only where a caller asks for that.

Used by the store. SQLAlchemy would take most of the time of the statements of an agent's turn, so that these go
straight to the driver (`CompiledStatement`).
"""

from __future__ import annotations

import hashlib
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine, PoolProxiedConnection

from phasegate.infra.ledger.storage.compiled import DriverConnection


class Connections:
    """The ledger's connections: SQLAlchemy's pool, and the one to SQLite that was used last.

    To take one out of the pool and put it back takes as long as a dozen statements. Postgres' are put back in any case:
    there the pool finds out whether they still hold.
    """

    def __init__(self, engine: Engine) -> None:
        """Use an engine made by `connect`."""
        self.engine = engine
        self._last: list[PoolProxiedConnection] = []  # one, or none: what takes and puts it back cannot be interrupted

    def take(self) -> PoolProxiedConnection:
        """A connection in no transaction."""
        try:
            return self._last.pop()
        except IndexError:
            return self.engine.raw_connection()

    def put_back(self, pooled: PoolProxiedConnection, error: BaseException | None, *, as_taken: bool) -> None:
        """Return a connection to the pool; what was not committed was not written.

        Args:
            pooled: What `take` gave.
            error: The error that ended its use, if one did.
            as_taken: True if only the driver has used it, so that no cursor is left open on it.
        """
        dialect = self.engine.dialect
        if dialect.name == "sqlite" and error is None and as_taken and not self._last:
            self._last.append(pooled)
            return
        if isinstance(error, dialect.loaded_dbapi.Error) and dialect.is_disconnect(error, pooled, None):
            pooled.invalidate(error)
        pooled.close()

    def close(self) -> None:
        """Close all connections."""
        while self._last:
            self._last.pop().close()
        self.engine.dispose()


class Transaction:
    """A connection until the block ends; what was not committed by then was not written."""

    def __init__(self, connections: Connections) -> None:
        """Take one for a single question, which begins no transaction of ours; or use `to_write`."""
        self._connections = connections
        self._pooled = connections.take()
        self._with_sqlalchemy: Connection | None = None
        self.direct = DriverConnection.of(self._pooled, connections.engine.dialect)

    @classmethod
    def to_write(cls, connections: Connections, run_id: str, *, synced: bool) -> Self:
        """Begin to write; no other transaction about the same run overlaps it.

        Args:
            connections: Where to take one.
            run_id: What it is about.
            synced: True if `commit` waits until it is on disk.
        """
        transaction = cls(connections)
        try:
            transaction._begin(run_id, synced=synced)
        except connections.engine.dialect.loaded_dbapi.Error as error:
            transaction._give_back(error)
            raise
        return transaction

    @property
    def connection(self) -> Connection:
        """SQLAlchemy, in this transaction, which stays ours to end."""
        if self._with_sqlalchemy is None:
            self._with_sqlalchemy = Connection(self._connections.engine, self._pooled)
        return self._with_sqlalchemy

    def commit(self) -> None:
        """Make it last."""
        self.direct.driver.commit()

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Give it back, and take back what was not committed."""
        self._give_back(error)

    def _begin(self, run_id: str, *, synced: bool) -> None:
        driver, dialect = self.direct
        if dialect.name == "sqlite":
            level, info = "FULL" if synced else "NORMAL", self._pooled.info
            if info.get("synchronous", "FULL") != level:
                driver.execute(f"PRAGMA synchronous={level}")
                info["synchronous"] = level
            # A writer takes its lock at the start: upgrading a read lock later fails at once instead of waiting.
            driver.execute("BEGIN IMMEDIATE")  # there is one writer at a time, whatever it writes about
        else:
            driver.execute("SELECT pg_advisory_xact_lock(%s)", [_lock_key(run_id)])
            if not synced:
                driver.execute("SET LOCAL synchronous_commit = off")

    def _give_back(self, error: BaseException | None) -> None:
        self._connections.put_back(self._pooled, error, as_taken=self._with_sqlalchemy is None)


def _lock_key(run_id: str) -> int:
    """The key of a run's advisory lock on Postgres, a signed 64-bit number."""
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8], "big", signed=True)
