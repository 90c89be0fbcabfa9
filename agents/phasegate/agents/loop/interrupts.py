"""Interruption of an agent by a person's urgent message.

The loop runs whatever may take long, a model's answer or a tool, by `Interruptible`. It knows the engine only as a
signal; why it was woken is read from the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, TypeAlias, TypeVar

from phasegate.infra.errors import LedgerUnavailable, PhasegateError

Answer = TypeVar("Answer")
WakeSignal: TypeAlias = Callable[[], AbstractContextManager[asyncio.Event]]
"""Subscribes to a run's wake-ups while the context is open; each sets the event, which the subscriber clears."""

_UNSIGNALLED_SECONDS = 1.0
"""Period of looking without a signal: the process that sends it may have died, or be of another engine."""


class Interrupted(Exception):
    """A person asked for the agent's attention now."""


@contextmanager
def no_signal() -> Generator[asyncio.Event]:
    """Signal that never comes, for engines that people have no way to wake."""
    yield asyncio.Event()


class Interruptible:
    """Cancels the agent's current model call or tool when a person asks for its attention."""

    def __init__(self, is_called: Callable[[], bool]) -> None:
        """Watch nothing yet.

        Args:
            is_called: Whether a person asks for it; looked up at each signal, and once a second.
        """
        self._is_called = is_called
        self._watcher: asyncio.Task[None] | None = None
        self._at_work: asyncio.Task[Any] | None = None
        self._has_dropped = False

    @contextmanager
    def watch(self, signal: asyncio.Event) -> Generator[None]:
        """Watch a signal while the block lasts."""
        self._watcher = asyncio.create_task(self._watch(signal))
        try:
            yield
        finally:
            self._watcher.cancel()

    async def run(self, work: Awaitable[Answer]) -> Answer:
        """Await work that may take long, but cancel it at once when a person asks for the agent's attention.

        No task is created, because most turns take milliseconds. As in `asyncio.timeout`, the current task is cancelled
        and the cancellation is caught here.

        Args:
            work: Work that may take long. It cleans up after itself when it is cancelled.

        Raises:
            Interrupted: The work was cancelled and has ended.
        """
        if self._watcher is not None and self._watcher.done():
            self._watcher.result()  # a watcher that failed hears no message
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  it is awaited
        cancelled_before = task.cancelling()
        self._at_work, self._has_dropped = task, False
        try:
            answer = await work
        except (asyncio.CancelledError, PhasegateError) as ended:
            if self._has_dropped and (task.uncancel() <= cancelled_before or isinstance(ended, PhasegateError)):
                raise Interrupted from ended
            raise  # the work failed by itself, or another caller cancels the task as well
        finally:
            self._at_work = None
        if self._has_dropped:
            task.uncancel()
            raise Interrupted
        return answer

    async def _watch(self, signal: asyncio.Event) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_UNSIGNALLED_SECONDS):
                    await signal.wait()
            signal.clear()
            with suppress(LedgerUnavailable):  # the running work meets the same error by itself
                if self._at_work is not None and not self._has_dropped and self._is_called():
                    self._has_dropped = True
                    self._at_work.cancel()
