"""Opening the database: its pragmas, and its migrations, once per revision."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url

from phasegate.infra.errors import ConfigError

REVISION = "0001"
"""The newest migration; a database that says so needs none."""


def connect(url: str) -> Engine:
    """Open a database and bring it to the newest schema.

    Args:
        url: An SQLAlchemy URL, such as `sqlite:////path/ledger.db`.

    Raises:
        ConfigError: The database was written by a newer phasegate.
    """
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    if _revision(engine) != REVISION:
        _migrate(engine, url)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by us, see _begin_sqlite
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=30000")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at the start: upgrading a read lock later fails at once instead of waiting.
    writes = connection.get_execution_options().get("phasegate_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


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
    with _MigrationLock(url):
        found = _revision(engine)
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if found is not None and found not in known:
            raise ConfigError(
                f"the ledger's format {found} was written by a newer phasegate",
                remedy="Upgrade phasegate, or set PHASEGATE_HOME to another folder.",
            )
        with engine.connect().execution_options(phasegate_write=True) as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


class _MigrationLock:
    """One migrating process at a time, for databases that are files."""

    def __init__(self, url: str) -> None:
        database = make_url(url).database
        self._path = Path(f"{database}.migrating") if url.startswith("sqlite") and database else None

    def __enter__(self) -> None:
        if self._path is not None:
            self._file = self._path.open("w")
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        if self._path is not None:
            self._file.close()
