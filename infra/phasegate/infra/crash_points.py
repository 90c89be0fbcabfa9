"""Named moments at which a test may have this very process killed: between any two steps that must not be torn apart.

Called before and after every ledger write and every effect (`Store.change`, `saga`). It must not know what a point
means. Armed by the environment this process was started with and by nothing else: neither policy nor a repository, an
agent or a message can name one, and no command started from here inherits it (see `sandbox.environment`).
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Mapping
from typing import NoReturn

CRASH_AT = "PHASEGATE_CRASH_AT"
"""`NAME` or `NAME:N`: SIGKILL to the own process when the point is reached (for the Nth time)."""
CRASH_LOG = "PHASEGATE_CRASH_LOG"
"""A file that each point reached is appended to, one line each."""


class _Trap:
    """Crash point and log that the environment asked for."""

    def __init__(self, at: str, log: str) -> None:
        name, _, count = at.rpartition(":")
        self._name, self._count = (name, int(count)) if count.isdecimal() else (at, 1)
        self._log = log
        self._reached = Counter[str]()

    def spring(self, name: str) -> None:
        self._reached[name] += 1
        if self._log:
            with open(self._log, "a", encoding="utf-8") as log:  # noqa: PTH123  reached thousands of times
                log.write(f"{name}\n")
        if name == self._name and self._reached[name] == self._count:
            _die()


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


_armed: dict[str, _Trap] = {}


def arm(environment: Mapping[str, str]) -> None:
    """Read what an environment asks for; done on import, and by a process that takes another environment on."""
    _armed.clear()
    at, log = environment.get(CRASH_AT, ""), environment.get(CRASH_LOG, "")
    if at or log:
        _armed[""] = _Trap(at, log)


def reached(name: str) -> None:
    """Say that a point was reached, such as `before:gate.opened`; nothing comes of it unless the process is armed."""
    if trap := _armed.get(""):
        trap.spring(name)


arm(os.environ)
