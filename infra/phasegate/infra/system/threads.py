"""Work beside the engine's loop, in threads: what an agent has made may be large, and other runs share the loop.

Called by stages and agents. A thread still shares the interpreter's lock: what it calls must be many short calls, none
of which takes long. Standard library only. It must not know what the work is.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


async def uninterrupted(work: Callable[[], Result]) -> Result:
    """Do something in a thread, and stay until it is done: what it writes must not overlap with what comes next.

    Raises:
        CancelledError: The caller was cancelled meanwhile; the work is done all the same.
    """
    return await run_to_completion(asyncio.to_thread(work))


async def run_to_completion(work: Coroutine[Any, Any, Result]) -> Result:
    """Await a coroutine to its end, even if the caller is cancelled meanwhile; the cancellation follows then."""
    doing = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await _ended(doing)
        raise


async def in_own_loop(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run a coroutine in a thread that has a loop of its own, so that nothing in it holds up the caller's loop.

    The thread is none of the pool's: the work may take hours. The coroutine must share no lock, event or connection of
    asyncio with the caller's loop.

    Raises:
        CancelledError: The caller was cancelled; the coroutine was cancelled, too, and has ended.
    """
    own = _OwnLoop(work)
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(own.run,), name="own-loop", daemon=True).start()
    ended = asyncio.wrap_future(own.outcome)
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        own.cancel()
        await _ended(ended)
        raise


async def _ended(work: asyncio.Future[Any]) -> None:
    """Wait until some work has ended; its error, if it has one, is not the caller's any more."""
    await asyncio.wait({work})
    if not work.cancelled():
        work.exception()


class _OwnLoop(Generic[Result]):
    """Coroutine in a loop of its own.

    Attributes:
        outcome: Its result or its error, once it has ended.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> None:
        self.outcome = concurrent.futures.Future[Result]()
        self._work = work
        self._lock = threading.Lock()
        self._task: asyncio.Task[Result] | None = None
        self._is_cancelled = False

    def run(self) -> None:
        try:
            self.outcome.set_result(asyncio.run(self._main()))
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            self.outcome.set_exception(error)

    def cancel(self) -> None:
        with self._lock:
            self._is_cancelled = True
            if self._task is not None:
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    async def _main(self) -> Result:
        task = asyncio.ensure_future(self._work())
        with self._lock:
            self._task = task
            if self._is_cancelled:
                task.cancel()
        try:
            return await task
        finally:
            with self._lock:
                self._task = None
