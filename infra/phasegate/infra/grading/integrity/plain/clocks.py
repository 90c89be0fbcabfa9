"""Clocks that make a process look old: while the change is loaded, its modules are told a time long past.

Runs inside the sandbox. Once tests run, all clocks show the real time, so they agree with those of the kernel, of
files and of other processes. What tests themselves read is always real.
"""

from __future__ import annotations

import datetime as dt
import gc
import importlib
import importlib.util
import inspect
import re
import sys
import time
from collections.abc import Callable
from typing import Any

_WALL = ("time", "time_ns")
_STEADY = ("monotonic", "perf_counter", "monotonic_ns", "perf_counter_ns")
_OF_PROCESS = ("process_time", "process_time_ns", "thread_time", "thread_time_ns")
_BROKEN_DOWN = ("localtime", "gmtime")
_OF_TESTS_BY_NAME = re.compile(r"/(?:conftest|test_\w+|\w+_tests?)\.py$")
_PATCHED_BY_OTHERS = ("time_machine", "libfaketime")
"""Packages that replace these functions in their own way, and take them for the real ones."""


class Clocks:
    """Clocks of the process, in the place of the real ones."""

    def __init__(self, root: str, tests: tuple[str, ...], seconds: int) -> None:
        """Replace them.

        Args:
            root: Path of the checkout.
            tests: Paths of test files, and of folders of tests with a slash at the end.
            seconds: Age that modules of the project are to find; 0: none.
        """
        self._root, self._tests, self._age = f"{root}/", tests, seconds
        self._steady = self._used = 0
        self._is_loading = True
        self.real_time = time.monotonic
        """Monotonic clock as it was before any clock is moved."""
        if any(map(importlib.util.find_spec, _PATCHED_BY_OTHERS)):
            return
        wall = time.time
        for name in (*_WALL, *_STEADY, *_OF_PROCESS):
            shift = self._back if name in _WALL else self._back_or_on if name in _STEADY else self._on
            setattr(time, name, _moved(getattr(time, name), shift, 10**9 if name.endswith("_ns") else 1))
        for name in _BROKEN_DOWN:
            setattr(time, name, self._broken_down(getattr(time, name)))
        self._patch_datetime(wall)

    def age(self) -> None:
        """Make the process old: what was loaded before lies long in the past."""
        self._is_loading, self._used = False, self._age

    def pass_on(self) -> None:
        """Move the clocks on that nothing outside of the process knows."""
        self._steady += self._age

    def _back(self) -> int:
        """Seconds to tell a caller less; none but to modules of the project, while they are loaded."""
        if not self._is_loading or not self._age:
            return 0
        frame: Any = inspect.currentframe()
        while frame is not None:
            if frame.f_code.co_name == "<module>":
                file: str = frame.f_code.co_filename
                is_own = file.startswith(self._root) and "-packages/" not in file
                is_of_tests = file.startswith(self._tests) or _OF_TESTS_BY_NAME.search(file)
                return -self._age if is_own and not is_of_tests else 0
            frame = frame.f_back
        return 0

    def _back_or_on(self) -> int:
        return self._back() + self._steady

    def _on(self) -> int:
        return self._used

    def _broken_down(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def broken_down(seconds: float | None = None, /) -> Any:
            return real(time.time() if seconds is None else seconds)

        return broken_down

    def _patch_datetime(self, wall: Callable[[], float]) -> None:
        """Move `datetime.now` and `datetime.utcnow` with the others; `today` reads `time.time` already."""
        if sys.implementation.name != "cpython" or not importlib.util.find_spec("_ctypes"):
            return
        kind = dt.datetime
        space: dict[str, Any] = gc.get_referents(vars(kind))[0]
        now, utcnow, from_timestamp = space["now"], space["utcnow"], space["fromtimestamp"]

        def now_moved(cls: Any, tz: Any = None) -> Any:
            back = self._back()
            if not back:
                return now.__get__(None, cls)(tz)
            return from_timestamp.__get__(None, cls)(wall() + back, tz)

        def utcnow_moved(cls: Any) -> Any:
            return utcnow.__get__(None, cls)() + dt.timedelta(seconds=self._back())

        for name, function in (("now", now_moved), ("utcnow", utcnow_moved)):
            function.__name__, function.__qualname__ = name, f"datetime.{name}"
            space[name] = classmethod(function)
        ctypes: Any = importlib.import_module("ctypes")
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


def _moved(real: Callable[[], Any], shift: Callable[[], int], unit: int) -> Callable[[], Any]:
    def now() -> Any:
        return real() + shift() * unit

    return now
