"""Time as a port, so that nothing has to wait in a test: UTC only, always aware."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class WallClock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return datetime.now(UTC)


class FixedClock:
    """A clock that moves only when told to; the twin for tests."""

    def __init__(self, start: datetime) -> None:
        """Start at an aware moment."""
        self._now = start

    def now(self) -> datetime:
        """The moment that the clock stands at."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Move forward."""
        self._now += by
