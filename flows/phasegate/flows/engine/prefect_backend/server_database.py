"""The Prefect server's database before its first start: migrated once per version, then copied.

Called by the server's process before it serves. Prefect's migrations are half of what a first start costs, and their
outcome is always the same. The copy lies in the user's cache. Without a copy, or a place for it, the server migrates
itself.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

_log = logging.getLogger(__name__)


def template(environment: Mapping[str, str]) -> Path:
    """Path of the migrated, empty database of this version of Prefect."""
    cache = Path(environment.get("XDG_CACHE_HOME", ""))
    folder = cache if cache.is_absolute() else Path.home() / ".cache"
    return folder / "phasegate" / f"prefect-{importlib.metadata.version('prefect')}.db"


def prepare(database: Path, template: Path) -> None:
    """Put a migrated database in place before the server first opens it.

    Args:
        database: The server's database; left alone if it exists.
        template: The source of the copy; made from the database if it is missing.

    Effects:
        Both files, each put in its place in one step.
    """
    if database.exists():
        return
    try:
        if _is_ours(template):
            _copy(template, database)
            return
        asyncio.run(_migrate())
        template.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not database.with_name(f"{database.name}-wal").exists():  # else the file alone is not all of it
            _copy(database, template)
    except OSError as error:
        _log.warning("The next first start is slow, too: %s", error)


def _is_ours(template: Path) -> bool:
    return template.is_file() and template.stat().st_uid == os.getuid()


def _copy(source: Path, target: Path) -> None:
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, draft)
        draft.chmod(0o600)
        with draft.open("rb") as copied:
            os.fsync(copied.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


async def _migrate() -> None:
    from prefect.server.database import provide_database_interface  # noqa: PLC0415 -- not needed for a copy

    database = provide_database_interface()
    await database.create_db()
    await (await database.engine()).dispose()
