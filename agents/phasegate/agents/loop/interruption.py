"""How a person's word reaches an agent that is in the middle of something.

The loop lends whatever may take long, a model's answer or a tool, to `unless_called`. It knows the engine only as
somebody who rings; what was rung for is read from the ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias, TypeVar

from phasegate.infra.errors import PhasegateError

Answer = TypeVar("Answer")
Bell: TypeAlias = Callable[[], AbstractContextManager[asyncio.Event]]
"""Listens for a run while the context is open; each ring sets the event. Whoever listens clears it."""

_UNRUNG_SECONDS = 1.0
"""How often is looked without a ring: the ringing process may have died, or may be of another engine."""


class Interrupted(Exception):
    """A person asked for the agent's attention now."""


@contextmanager
def nobody_rings() -> Generator[asyncio.Event]:
    """A bell without a rope, for engines that people have no way to ring."""
    yield asyncio.Event()


async def unless_called(work: Awaitable[Answer], rung: asyncio.Event, is_called: Callable[[], bool]) -> Answer:
    """Wait for what was begun, but drop it at once when a person asks for it.

    Args:
        work: What may take long; it cleans up after itself when it is cancelled.
        rung: Set when there may be something; cleared here, before it is looked.
        is_called: Whether there is.

    Raises:
        Interrupted: It was dropped, and has ended.
    """
    task = asyncio.ensure_future(work)
    ring: asyncio.Task[object] | None = None
    try:
        await asyncio.sleep(0)
        if task.done():  # as most tools have by then, before anybody could have rung
            return task.result()
        while True:
            ring = ring or asyncio.create_task(rung.wait())
            done, _ = await asyncio.wait({task, ring}, timeout=_UNRUNG_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if task in done:
                return task.result()
            if ring in done:
                ring = None
                rung.clear()
            if is_called():
                raise Interrupted
    finally:
        if ring is not None:
            ring.cancel()
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, PhasegateError):
                await task
