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
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from phasegate.infra.grading.integrity.plain.waits import ThreadWaits

_WALL = ("time", "time_ns")
_STEADY = ("monotonic", "perf_counter", "monotonic_ns", "perf_counter_ns")
_OF_PROCESS = ("process_time", "process_time_ns", "thread_time", "thread_time_ns")
_BROKEN_DOWN = ("localtime", "gmtime", "ctime")
_SHOWN = ("strftime", "asctime")
_BY_NUMBER = ("clock_gettime", "clock_gettime_ns")
_OF_PYTHON = os.path.dirname(os.__file__)
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
        self._waits = ThreadWaits() if seconds else None
        self._numbered = {
            **dict.fromkeys(("REALTIME", "TAI"), self._back),
            **dict.fromkeys(("MONOTONIC", "MONOTONIC_RAW", "BOOTTIME"), self._back_or_on),
            **dict.fromkeys(("PROCESS_CPUTIME_ID", "THREAD_CPUTIME_ID"), self._on),
        }
        self.real_time, self.real_used = time.monotonic, time.process_time
        """Monotonic clock, and that of the process, as they were before any clock is moved."""
        if any(map(importlib.util.find_spec, _PATCHED_BY_OTHERS)):
            return
        wall = time.time
        known = {name: getattr(time, name) for name in (*_WALL, *_STEADY, *_OF_PROCESS)}
        for name in (*_WALL, *_STEADY, *_OF_PROCESS):
            shift = self._back if name in _WALL else self._back_or_on if name in _STEADY else self._on
            setattr(time, name, _moved(getattr(time, name), shift, 10**9 if name.endswith("_ns") else 1))
        for name in _BROKEN_DOWN:
            setattr(time, name, self._broken_down(getattr(time, name)))
        for name in _SHOWN:
            setattr(time, name, _shown(getattr(time, name)))
        for name in filter(partial(hasattr, time), _BY_NUMBER):
            setattr(time, name, self._by_number(getattr(time, name), 10**9 if name.endswith("_ns") else 1))
        os.times = self._times(os.times)
        log = vars(importlib.import_module("logging"))
        log["_startTime"] -= seconds * (10**9 if isinstance(log["_startTime"], int) else 1)
        if importlib.util.find_spec("resource"):
            resource: Any = importlib.import_module("resource")
            resource.getrusage = self._usage(resource.getrusage, resource.struct_rusage)
        _bind_again({id(real): getattr(time, name) for name, real in known.items()})
        self._patch_datetime(wall)

    def age(self) -> None:
        """Make the process old: what was loaded before lies long in the past, and threads have waited long enough."""
        self._is_loading, self._used = False, self._age
        if self._waits is not None:
            self._waits.end()

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

    def _by_number(self, real: Callable[..., Any], unit: int) -> Callable[..., Any]:
        shifts = {getattr(time, f"CLOCK_{name}", None): shift for name, shift in self._numbered.items()}

        def clock_gettime(clock: int, /) -> Any:
            shift = shifts.get(clock)
            return real(clock) + (shift() * unit if shift else 0)

        return clock_gettime

    def _times(self, real: Callable[[], Any]) -> Callable[[], Any]:
        def times() -> Any:
            user, system, *children, elapsed = real()
            return os.times_result((user + self._used, system, *children, elapsed + self._back_or_on()))

        return times

    def _usage(self, real: Callable[[int], Any], kind: Any) -> Callable[[int], Any]:
        def getrusage(who: int, /) -> Any:
            user, *others = real(who)
            return kind((user + (self._used if who in (0, 1) else 0), *others))  # of the process or its thread

        return getrusage

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


def _shown(real: Callable[..., Any]) -> Callable[..., Any]:
    """Function that shows a broken down time, such that it asks a clock of ours where none is given."""
    places = 1 if real.__name__ == "strftime" else 0

    def shown(*words: Any) -> Any:
        return real(*words, *(() if len(words) > places else (time.localtime(),)))

    return shown


def _bind_again(moved: Mapping[int, Any]) -> None:
    """Bind names of Python's own library to moved clocks, where modules have taken the real ones.

    Args:
        moved: Such clocks by the identity of real ones.
    """
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if module is time or not isinstance(file, str) or not file.startswith(_OF_PYTHON) or "-packages" in file:
            continue
        for name, value in list(vars(module).items()):
            if id(value) in moved:
                setattr(module, name, moved[id(value)])


def _moved(real: Callable[[], Any], shift: Callable[[], int], unit: int) -> Callable[[], Any]:
    def now() -> Any:
        return real() + shift() * unit

    return now
