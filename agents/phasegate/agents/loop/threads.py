"""Where threads are kept: LangGraph's own SQLite saver, in a file beside the ledger."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

Threads: TypeAlias = BaseCheckpointSaver[str]


@asynccontextmanager
async def open_threads(path: Path) -> AsyncGenerator[Threads]:
    """Open the thread store, creating it if need be."""
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        await saver.conn.execute("PRAGMA busy_timeout=30000")
        await saver.setup()
        yield saver
