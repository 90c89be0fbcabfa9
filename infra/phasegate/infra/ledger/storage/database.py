"""Opening the database, SQLite or Postgres: its connections, and its migrations, once per revision."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError

from phasegate.infra.errors import ConfigError, LedgerUnavailable, TrailBroken

REVISION = "0006"
"""The newest migration; a database that says so needs none."""
_CONNECT_SECONDS = 5
_BUSY_SECONDS = 30.0
_BUSY_LOOK_SECONDS = 0.01
_MIGRATING = 0x7068617365676174
"""The advisory lock of a migrating process on Postgres."""


def connect(url: str) -> Engine:
    """Open a database and bring it to the newest schema.

    Args:
        url: `sqlite:////path/ledger.db`, or `postgresql://user@host/database`.

    Raises:
        ConfigError: The address is of neither kind, the database was written by a newer phasegate, or the file cannot
            be opened as one.
        LedgerUnavailable: Postgres does not answer, or does not let phasegate in.
        TrailBroken: Somebody put a trigger, a view or a rule into it.
    """
    engine = _open(url)
    try:
        with _openable(engine), translated(engine):
            if _revision(engine) != REVISION:
                _migrate(engine, url)
            _require_no_program(engine)
    except TrailBroken:
        engine.dispose()
        raise
    return engine


def _open(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _no_database("is no database's address") from error
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed)
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.get_backend_name() == "postgresql":
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,  # a connection that died while it was idle is replaced before anything begins on it
            connect_args={"connect_timeout": _CONNECT_SECONDS},
        )
    raise _no_database(f"names {parsed.get_backend_name()}")


@contextmanager
def _openable(engine: Engine) -> Generator[None]:
    """Name the file of a ledger that cannot be opened.

    Raises:
        ConfigError: It is a folder or a pipe, cannot be read or written, or is no database.
    """
    path = engine.url.database or ""
    if engine.dialect.name == "sqlite" and path not in {"", ":memory:"}:
        try:
            if not stat.S_ISREG(Path(path).stat().st_mode):
                raise _cannot_open(path, "it is no file")
        except FileNotFoundError:
            pass  # it is made
        except OSError as error:
            raise _cannot_open(path, error.strerror or str(error)) from error
    try:
        yield
    except DatabaseError as error:
        if engine.dialect.name != "sqlite":
            raise
        reason = str(error.orig)
        if (folder := Path(path).parent).is_dir() and not os.access(folder, os.W_OK):
            reason = f"its folder {folder} cannot be written to"
        raise _cannot_open(path, reason) from error
    except OSError as error:
        raise _cannot_open(error.filename or path, error.strerror or str(error)) from error


def _cannot_open(path: str, reason: str) -> ConfigError:
    return ConfigError(
        f"The ledger {path} cannot be opened: {reason}.",
        remedy="See to that file, or name another folder in PHASEGATE_HOME.",
        path=path,
    )


def _no_database(what: str) -> ConfigError:
    return ConfigError(
        f"PHASEGATE_DATABASE_URL {what}",
        remedy="Write sqlite:////path/ledger.db, or postgresql://user@host/database.",
    )


_PROGRAMS = {
    "sqlite": "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view')",
    "postgresql": "SELECT 'trigger', tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
    " WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace"
    " UNION ALL SELECT 'rule', rulename FROM pg_rules WHERE schemaname = current_schema()"
    " UNION ALL SELECT 'view', viewname FROM pg_views WHERE schemaname = current_schema()",
}
"""Question for what changes or hides rows by itself; phasegate makes nothing of the kind."""


def _require_no_program(engine: Engine) -> None:
    with engine.connect() as connection:
        present = connection.execute(text(_PROGRAMS[engine.dialect.name])).first()
    if present is not None:
        raise _altered(f"{present[0]} {present[1]}")


def _altered(what: str) -> TrailBroken:
    return TrailBroken(
        f"the ledger holds {what}, which phasegate did not make: it may alter what is written or read",
        remedy="Find out who made it, and compare the ledger with a copy.",
    )


@contextmanager
def translated(engine: Engine) -> Generator[None]:
    """Tell a database that went away from one that refuses, and from one that does more than it should.

    Raises:
        LedgerUnavailable: Postgres does not answer, or ended the connection or the transaction.
        TrailBroken: A trigger or a view was put into a SQLite database while it was open.
    """
    driver = engine.dialect.loaded_dbapi  # what it raises comes as it is from statements that are `CompiledStatement`
    try:
        yield
    except (DBAPIError, driver.Error) as error:
        cause = getattr(error, "orig", error)
        if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_AUTH:
            raise _altered("a trigger or a view") from error
        if not isinstance(cause, (driver.OperationalError, driver.InterfaceError)):
            raise
        if engine.dialect.name != "postgresql":
            raise
        first_line = next(iter(str(cause).splitlines()), "")
        raise LedgerUnavailable(f"the ledger's database does not answer: {first_line}") from error


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by us, see _begin_sqlite
    connection.set_authorizer(_authorize)
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000:.0f}")
    _keep_a_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _authorize(_action: int, _what: str | None, _which: str | None, _database: str | None, program: str | None) -> int:
    """Refuse each access by a trigger or a view, when a statement is compiled. Source: sqlite3_set_authorizer."""
    return sqlite3.SQLITE_OK if program is None else sqlite3.SQLITE_DENY


def _keep_a_wal(cursor: Any) -> None:
    """Switch a database to a write-ahead log; retried, since SQLite refuses one of two processes without waiting."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_LOOK_SECONDS)


def _begin_sqlite(connection: Connection) -> None:
    driver = cast("sqlite3.Connection", connection.connection.driver_connection)
    if not driver.in_transaction:  # the store's own, see `Transaction.connection`
        driver.execute("BEGIN IMMEDIATE" if connection.get_execution_options().get("phasegate_write") else "BEGIN")


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(engine: Engine, url: str) -> None:
    # Imported here: it costs a tenth of a second that only a new or old database has to pay.
    from alembic import command  # noqa: PLC0415  see above
    from alembic.config import Config  # noqa: PLC0415  see above
    from alembic.script import ScriptDirectory  # noqa: PLC0415  see above

    config = Config()
    config.set_main_option("script_location", "phasegate.infra.ledger:migrations")
    with _one_at_a_time(engine, url):
        revision = _revision(engine)
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if revision is not None and revision not in known:
            raise ConfigError(
                f"the ledger's format {revision} was written by a newer phasegate",
                remedy="Upgrade phasegate, or set PHASEGATE_HOME to another folder.",
            )
        with engine.connect().execution_options(phasegate_write=True) as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


@contextmanager
def _one_at_a_time(engine: Engine, url: str) -> Generator[None]:
    """Hold the lock on migrating, so that one process does at a time; the lock ends with its process."""
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection, connection.begin():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
            yield
        return
    with Path(f"{make_url(url).database}.migrating").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
