"""Who waits hot in this engine, and how to wake them.

The socket's `wake` rings, a gate listens. The worker lends each flow run it starts its engine's doorbell and its slot,
so that a flow finds both without knowing the engine; a flow that runs elsewhere gets a doorbell nobody rings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

import anyio


class Doorbell:
    """The gates that wait in this process, by run."""

    def __init__(self) -> None:
        """Start with nobody waiting."""
        self._listeners: dict[str, list[asyncio.Event]] = {}

    @property
    def listening_count(self) -> int:
        """How many gates wait here."""
        return sum(len(events) for events in self._listeners.values())

    def ring(self, run_id: str) -> bool:
        """Wake whoever waits for this run; false when nobody does."""
        events = self._listeners.get(run_id, [])
        for event in events:
            event.set()
        return bool(events)

    @contextmanager
    def listening(self, run_id: str) -> Generator[asyncio.Event]:
        """Listen for this run's bell; the event stays set from the first ring on."""
        event = asyncio.Event()
        self._listeners.setdefault(run_id, []).append(event)
        try:
            yield event
        finally:
            self._listeners[run_id].remove(event)
            if not self._listeners[run_id]:
                del self._listeners[run_id]


class Slot:
    """One flow run's place among those that may work at the same time."""

    def __init__(
        self, limiter: anyio.CapacityLimiter, flow_run_id: UUID, on_given_up: Callable[[], None] = lambda: None
    ) -> None:
        """The place that `flow_run_id` already borrows from the limiter."""
        self._limiter = limiter
        self._flow_run_id = flow_run_id
        self._on_given_up = on_given_up
        self._report: asyncio.Task[object] | None = None

    def give_up(self) -> None:
        """Let somebody else work while this flow run only waits."""
        self._limiter.release_on_behalf_of(self._flow_run_id)
        self._on_given_up()

    async def take_back(self) -> None:
        """Wait for a place; those who wait longer come first."""
        await self._limiter.acquire_on_behalf_of(self._flow_run_id)

    def report_later(self, report: Coroutine[object, object, object]) -> None:
        """Tell Prefect something without keeping the flow waiting, in the order in which it is asked for."""
        self._report = asyncio.create_task(_after(self._report, report))

    async def reported(self) -> None:
        """Wait until what was to be told later has been told; the flow run's state is not changed before.

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
    return outcome if earlier is None else earlier.result()  # what went wrong before is not to be lost


_doorbell: ContextVar[Doorbell | None] = ContextVar("doorbell", default=None)
_slot: ContextVar[Slot | None] = ContextVar("slot", default=None)


def lend(doorbell: Doorbell, slot: Slot) -> None:
    """Give the flow run of the current task its engine's doorbell and its own slot."""
    _doorbell.set(doorbell)
    _slot.set(slot)


def current_doorbell() -> Doorbell:
    """The doorbell of the engine that runs this flow run."""
    return _doorbell.get() or Doorbell()


def current_slot() -> Slot | None:
    """This flow run's slot; None outside of an engine."""
    return _slot.get()
