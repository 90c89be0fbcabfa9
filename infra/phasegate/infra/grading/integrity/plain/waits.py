"""Waits of threads that code under test starts while it is loaded: they end when the process is made old.

Runs inside the sandbox, in the plain process. A release has run for so long that such waits are over.
"""

from __future__ import annotations

import threading
import time
from typing import Any

_SHORTEST = 1.0
"""Seconds of a wait that may be meant for the first tests to be over."""
_STEP_SECONDS = 0.02
_SETTLED_SECONDS = 0.1
"""Time for which threads may work once their waits are over."""


class ThreadWaits:
    """Sleeping threads and timers, but for those of the main thread."""

    def __init__(self) -> None:
        """Take the place of `time.sleep`, and of the waiting of `threading.Timer`."""
        self._is_over, self._count = threading.Event(), 0
        self._sleep, main = time.sleep, threading.main_thread()
        timers: Any = threading.Timer
        run = timers.run

        def sleep(seconds: Any, /) -> None:
            if threading.current_thread() is main or self._is_over.is_set() or not seconds >= _SHORTEST:
                self._sleep(seconds)
            else:
                self._count += 1
                self._is_over.wait(seconds)

        def run_timer(timer: Any) -> None:
            if timer.interval >= _SHORTEST and not self._is_over.is_set():
                self._count += 1
                self._wait_for(timer)
            run(timer)

        time.sleep = sleep
        timers.run = run_timer

    def end(self) -> None:
        """End all waits, and let what waited work."""
        self._is_over.set()
        if self._count:
            self._sleep(_SETTLED_SECONDS)

    def _wait_for(self, timer: Any) -> None:
        """Wait until a timer's time is over, or all waits are, or it was cancelled."""
        ends = time.monotonic() + timer.interval
        while not self._is_over.is_set() and not timer.finished.is_set() and time.monotonic() < ends:
            self._is_over.wait(_STEP_SECONDS)
        timer.interval = 0
