"""Lock on a file, which one task of all processes on this machine holds at a time."""

from __future__ import annotations

import fcntl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from tenacity import AsyncRetrying, retry_if_exception_type, wait_fixed

_POLL = timedelta(milliseconds=50)


@asynccontextmanager
async def locked(path: Path) -> AsyncGenerator[None]:
    """Hold the lock; waits for its holder, and releases it with the process at the latest.

    Args:
        path: The lock's file, made where it is missing; its folder exists.
    """
    with path.open("w") as file:
        async for attempt in AsyncRetrying(retry=retry_if_exception_type(BlockingIOError), wait=wait_fixed(_POLL)):
            with attempt:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
