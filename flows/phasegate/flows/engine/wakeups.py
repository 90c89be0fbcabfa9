"""Wake-ups of the gates that wait hot in this engine.

The socket's `wake` notifies, a gate subscribes. The worker binds its engine's registry and a slot to each flow run that
it starts, so that a flow finds both without knowing the engine. The flow hands the registry to its executor.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

import anyio

from phasegate.infra.errors import TemporaryError
from phasegate.infra.settings import Settings

Decided = Callable[[], bool]
"""Tells a wait if it is over."""

_POLL_SECONDS = 5.0  # for a decision whose wake-up was lost, as by an engine that was just starting


class WakeupRegistry:
    """Subscriptions of the gates that wait in this process, by run."""

    def __init__(self) -> None:
        """Start without a subscription."""
        self._listeners: dict[str, list[asyncio.Event]] = {}

    @property
    def subscriber_count(self) -> int:
        """Number of gates that wait here."""
        return sum(len(events) for events in self._listeners.values())

    def notify(self, run_id: str) -> bool:
        """Wake the gates that wait for this run.

        Returns:
            False if none does.
        """
        events = self._listeners.get(run_id, [])
        for event in events:
            event.set()
        return bool(events)

    @contextmanager
    def subscribe(self, run_id: str) -> Generator[asyncio.Event]:
        """Subscribe to this run's wake-ups; the event stays set from the first one on."""
        event = asyncio.Event()
        self._listeners.setdefault(run_id, []).append(event)
        try:
            yield event
        finally:
            self._listeners[run_id].remove(event)
            if not self._listeners[run_id]:
                del self._listeners[run_id]


def is_decided(decided: Decided) -> bool:
    """True if the wait is over; false as well while the answer is unavailable for a moment."""
    try:
        return decided()
    except TemporaryError:
        return False


async def await_decision(decided: Decided, signal: asyncio.Event, *, seconds: float) -> bool:
    """Wait as a coroutine until a wait is over.

    Args:
        decided: True if the wait is over; asked at each wake-up, and from time to time.
        signal: Set by each wake-up.
        seconds: The longest time to wait; may be infinite.

    Returns:
        False if it was not over in time.
    """
    deadline = time.monotonic() + seconds
    while not is_decided(decided):
        patience = min(_POLL_SECONDS, deadline - time.monotonic())
        if patience <= 0:
            return False
        try:
            async with asyncio.timeout(patience):  # wait_for loses a cancellation that comes with the wake-up
                await signal.wait()
        except TimeoutError:
            continue
        signal.clear()
    return True


def can_wait_in_process(wakeups: WakeupRegistry, settings: Settings) -> bool:
    """True if a gate that begins to wait now waits as a coroutine of this process."""
    return settings.hot_gate.total_seconds() > 0 and wakeups.subscriber_count < settings.max_hot


class Slot:
    """A flow run's place among those that may work at the same time."""

    def __init__(
        self, limiter: anyio.CapacityLimiter, flow_run_id: UUID, on_release: Callable[[], None] = lambda: None
    ) -> None:
        """Wrap the place that `flow_run_id` already borrows from the limiter."""
        self._limiter = limiter
        self._flow_run_id = flow_run_id
        self._on_release = on_release
        self._report: asyncio.Task[object] | None = None

    def release(self) -> None:
        """Give the place to another flow run while this one only waits."""
        self._limiter.release_on_behalf_of(self._flow_run_id)
        self._on_release()

    async def acquire(self) -> None:
        """Wait for a place; flow runs that wait longer come first."""
        await self._limiter.acquire_on_behalf_of(self._flow_run_id)

    def defer_report(self, report: Coroutine[object, object, object]) -> None:
        """Report to Prefect in the background, in the order of the calls."""
        self._report = asyncio.create_task(_after(self._report, report))

    async def flush_reports(self) -> None:
        """Wait until the deferred reports are sent; the flow run's state must not change before.

        Raises:
            httpx.HTTPError: The Prefect server did not answer.
        """
        report, self._report = self._report, None
        if report is not None:
            await report


async def _after(earlier: asyncio.Task[object] | None, report: Coroutine[object, object, object]) -> object:
    if earlier is not None:
        await asyncio.wait({earlier})
    outcome = await report
    return outcome if earlier is None else earlier.result()  # an earlier error must not be lost


_wakeups: ContextVar[WakeupRegistry | None] = ContextVar("wakeups", default=None)
_slot: ContextVar[Slot | None] = ContextVar("slot", default=None)


def bind(wakeups: WakeupRegistry, slot: Slot) -> None:
    """Bind an engine's registry and a slot to the flow run of the current task."""
    _wakeups.set(wakeups)
    _slot.set(slot)


def current_wakeups() -> WakeupRegistry:
    """Registry of the engine that runs this flow run; an empty one outside of an engine."""
    return _wakeups.get() or WakeupRegistry()


def current_slot() -> Slot | None:
    """This flow run's slot, or None outside of an engine."""
    return _slot.get()
