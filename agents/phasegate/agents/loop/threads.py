"""Thread store: LangGraph's own savers, on a file next to the ledger or on the ledger's Postgres database."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Never, TypeAlias

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_fixed
from typing_extensions import override

from phasegate.infra.errors import LedgerUnavailable

Threads: TypeAlias = BaseCheckpointSaver[str]

_CONNECTIONS = 8
_CONNECT_SECONDS = 5
_TRIES = 10
_BETWEEN_TRIES_SECONDS = 0.5
_PACKED = "+zlib"
_WORTH_PACKING = 200
_SETTING_UP = 0x70686173656C6F6F
"""The advisory lock of a process that makes the tables."""


@asynccontextmanager
async def open_threads(where: Path | str) -> AsyncGenerator[Threads]:
    """Open the thread store, creating it if need be.

    Args:
        where: A file, or the address of a Postgres database.

    Raises:
        LedgerUnavailable: Postgres does not answer.
    """
    async with _in_file(where) if isinstance(where, Path) else _on_postgres(where) as threads:
        yield threads


@asynccontextmanager
async def _in_file(path: Path) -> AsyncGenerator[Threads]:
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        await saver.conn.execute("PRAGMA busy_timeout=30000")
        # A power cut may take the last turns from the thread; the ledger is synced, and they are read there.
        await saver.conn.execute("PRAGMA synchronous=NORMAL")
        saver.serde = Packed()
        await saver.setup()
        yield saver


@asynccontextmanager
async def _on_postgres(url: str) -> AsyncGenerator[Threads]:
    address = url.replace("postgresql+psycopg://", "postgresql://", 1)
    await _RETRYING.wraps(_set_up)(address)
    async with AsyncConnectionPool(
        address,
        connection_class=AsyncConnection[DictRow],
        kwargs={
            "autocommit": True,
            "prepare_threshold": 0,
            "row_factory": dict_row,
            "connect_timeout": _CONNECT_SECONDS,
        },
        min_size=1,
        max_size=_CONNECTIONS,
        timeout=_CONNECT_SECONDS,
        check=_check,
        open=False,
    ) as pool:
        yield _PostgresThreads(pool, serde=Packed())


async def _check(connection: AsyncConnection[DictRow]) -> None:
    """Find a connection dead before it is lent, rather than after."""
    await connection.execute("SELECT 1")


async def _set_up(address: str) -> None:
    async with await AsyncConnection[DictRow].connect(
        address, autocommit=True, prepare_threshold=0, row_factory=dict_row, connect_timeout=_CONNECT_SECONDS
    ) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", (_SETTING_UP,))  # released when the connection closes
        await AsyncPostgresSaver(connection).setup()


def _raise_unavailable(last: RetryCallState) -> Never:
    error = last.outcome.exception() if last.outcome else None
    raise LedgerUnavailable(f"the thread store does not answer: {error}") from error


_RETRYING = AsyncRetrying(
    retry=retry_if_exception_type((OperationalError, InterfaceError)),
    stop=stop_after_attempt(_TRIES),
    wait=wait_fixed(_BETWEEN_TRIES_SECONDS),
    retry_error_callback=_raise_unavailable,
)
"""Retries while the database is away: each write carries its own key, so a repeat does no harm."""


class Packed(JsonPlusSerializer):
    """LangGraph's serializer, compressed: text of threads takes a third of the room. It also reads unpacked data."""

    @override
    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        kind, data = super().dumps_typed(obj)
        if len(data) < _WORTH_PACKING:
            return kind, data
        return f"{kind}{_PACKED}", zlib.compress(data, 1)

    @override
    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        kind, stored = data
        if not kind.endswith(_PACKED):
            return super().loads_typed(data)
        return super().loads_typed((kind.removesuffix(_PACKED), zlib.decompress(stored)))


class _PostgresThreads(AsyncPostgresSaver):
    """LangGraph's saver, patient with a database that goes away and comes back."""

    @override
    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await _RETRYING.wraps(super().aget_tuple)(config)

    @override
    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await _RETRYING.wraps(super().aput)(config, checkpoint, metadata, new_versions)

    @override
    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await _RETRYING.wraps(super().aput_writes)(config, writes, task_id, task_path)

    @override
    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return await _RETRYING.wraps(super().aget_delta_channel_history)(config=config, channels=channels)
