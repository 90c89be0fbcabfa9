"""Time that can also be waited for. Used by `measure`; the simulated twin lets a test measure for days in no time."""

from __future__ import annotations

import asyncio
import heapq
from datetime import datetime, timedelta
from typing import Protocol

from phasegate.infra.clock import SystemClock, WallClock

_SETTLED = 20
"""Rounds of the event loop that a sleeper must be next in before time moves, so that tasks that are awake act first."""


class Clock(WallClock, Protocol):
    """Tells the time and waits."""

    async def sleep(self, duration: timedelta) -> None:
        """Come back once this much time has passed; at once when it is not positive."""
        ...


class RealClock(SystemClock):
    """The machine's clock and the event loop's timers."""

    async def sleep(self, duration: timedelta) -> None:
        """Come back once this much time has passed; at once when it is not positive."""
        await asyncio.sleep(max(0.0, duration.total_seconds()))


class SimulatedClock:
    """Time that jumps to the earliest sleeper's moment once all tasks sleep; the twin for tests."""

    def __init__(self, start: datetime) -> None:
        """Start at an aware moment."""
        self._now = start
        self._sleepers: list[tuple[datetime, int]] = []
        self._tickets = 0

    def now(self) -> datetime:
        """The moment that the clock stands at."""
        return self._now

    async def sleep(self, duration: timedelta) -> None:
        """Come back when this moment is the earliest that any task waits for."""
        self._tickets += 1
        mine = (self._now + max(timedelta(0), duration), self._tickets)
        heapq.heappush(self._sleepers, mine)
        try:
            quiet = 0
            while quiet < _SETTLED:
                await asyncio.sleep(0)
                quiet = quiet + 1 if self._sleepers[0] == mine else 0
            self._now = max(self._now, mine[0])
        finally:
            self._sleepers.remove(mine)
            heapq.heapify(self._sleepers)
