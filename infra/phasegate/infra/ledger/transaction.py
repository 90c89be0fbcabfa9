"""One connection of the ledger's, for as long as it is needed; SQLAlchemy is put on top where somebody asks for it.

Used by the store. Of what an agent's turn asks and writes most of the time would be SQLAlchemy's, so that it goes to
the driver by itself (`Prepared`).
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine

from phasegate.infra.ledger.prepared import Direct


class Transaction:
    """A connection taken out of the pool until the block ends; what was not committed by then was not written."""

    def __init__(self, engine: Engine) -> None:
        """Take one for a single question, which begins no transaction of ours; or use `writing`."""
        self._engine = engine
        self._pooled = engine.raw_connection()
        self.direct = Direct.of(self._pooled, engine.dialect)

    @classmethod
    def writing(cls, engine: Engine, run_id: str, *, synced: bool) -> Self:
        """Begin to write; no other transaction about the same run overlaps it.

        Args:
            engine: Whose connection.
            run_id: What it is about.
            synced: Whether `commit` waits until it is on disk.
        """
        begun = cls(engine)
        try:
            begun._begin(run_id, synced=synced)
        except engine.dialect.loaded_dbapi.Error as error:
            begun._give_back(error)
            raise
        return begun

    @cached_property
    def connection(self) -> Connection:
        """SQLAlchemy, in this transaction, which stays ours to end."""
        return Connection(self._engine, self._pooled)

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
        dialect = self._engine.dialect
        if isinstance(error, dialect.loaded_dbapi.Error) and dialect.is_disconnect(error, self._pooled, None):
            self._pooled.invalidate(error)
        self._pooled.close()


def _lock_key(run_id: str) -> int:
    """The key of a run's advisory lock on Postgres, a signed 64-bit number."""
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8], "big", signed=True)
