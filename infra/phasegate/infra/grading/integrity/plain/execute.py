"""Execution of tests in a plain process, and in one that looks like a runner's, for comparison.

Runs inside the sandbox. Both processes do the same; they differ in what code under test could tell them apart by. In
the plain one no runner is loaded, the tests have other names, time has passed, standard input holds something, and
each test is repeated. Results are lines of JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from phasegate.infra.grading.integrity.plain.cases import Module, Test
from phasegate.infra.grading.integrity.plain.fixtures import NotHere, Store
from phasegate.infra.grading.integrity.plain.library import Library, Returns
from phasegate.infra.grading.integrity.plain.namespaces import Namespaces
from phasegate.infra.grading.integrity.plain.questions import Questions
from phasegate.infra.grading.integrity.plain.runners import Absent, Tools

_SECONDS, _LONGER = 20, 3
"""Time of a test, and how much more a sealed one has in the plain process, where it may be slower."""
_LOADING_SECONDS = 60
_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "time_ns", "monotonic_ns", "perf_counter_ns")
_ROOM = ("MemoryError", "RecursionError", "OSError", "BlockingIOError")
"""Errors of a process that has run out of something, which repeating brings about."""
_JUDGEMENTS = ("AssertionError", "Failed")
"""Errors by which a test says that what it got is wrong."""


class Clock:
    """The process's clocks, which can be set forward once the change is loaded."""

    def __init__(self) -> None:
        """Put clocks of the same kind in the place of the real ones."""
        self.seconds = 0
        for name in _CLOCKS:
            setattr(time, name, self._wrapped(getattr(time, name), 10**9 if name.endswith("_ns") else 1))

    def _wrapped(self, real: Callable[[], Any], unit: int) -> Callable[[], Any]:
        def now() -> Any:
            return real() + self.seconds * unit

        return now


def attempt(test: Test, tools: Tools, change: set[str], seconds: int = _SECONDS) -> tuple[str, str, bool]:
    """Run a test once; its outcome (passed, failed, skipped, not-here), a message, and true if it judges the change.

    A test is not skipped by what it tests: files of the `change` that raise such an error fail it.
    """
    signal.alarm(seconds)
    try:
        test.run(tools)
    except NotHere as error:
        return "not-here", str(error), False
    except BaseException as error:  # noqa: BLE001 - whatever the change raises is the test's outcome
        kind, by_change = type(error).__name__, _is_raised_in(error, change)
        is_skipped = kind in ("Skipped", "SkipTest") and not by_change
        return ("skipped" if is_skipped else "failed"), _said(error), by_change or kind in _JUDGEMENTS
    finally:
        signal.alarm(0)
    return "passed", "", False


def _is_raised_in(error: BaseException, change: set[str]) -> bool:
    """True if code of some files raised an error, or called what did."""
    trace, inner = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        inner = file if file in change or not file.startswith((sys.prefix, sys.base_prefix, "<")) else inner
        trace = trace.tb_next
    return inner in change


def _time_is_up(*_: Any) -> None:
    raise TimeoutError("it took too long")


def _repeat(tests: list[Test], order: dict[str, Any], tools: Tools, tell: Callable[..., None]) -> None:
    """Repeat what passes again and again, and tell of a test that passes at first, and later never again."""
    change = _files_of(order)
    ends, going = time.monotonic() + order["budget"], list(tests)
    for number in range(2, order["rounds"]):
        for test in list(going):
            if time.monotonic() > ends:
                return
            outcome, message, _ = attempt(test, tools, change)
            if outcome == "passed":
                continue
            going.remove(test)
            again = [attempt(test, tools, change)[0] for _ in range(2)]
            if number > 2 and again == ["failed"] * 2 and not message.startswith(_ROOM):
                tell(test=test.name, file=test.file.path, outcome="decayed", message=message, round=number)


def _files_of(order: dict[str, Any]) -> set[str]:
    """Files of the change, where they stand."""
    return {os.path.join(order["root"], path) for path in order["changed"]}


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:500]}".rstrip(": ")


def _settle(order: dict[str, Any]) -> None:
    """Make the process look like what it is to be."""
    os.chdir(order["root"])
    signal.signal(signal.SIGALRM, _time_is_up)
    if not order["watched"]:
        sys.argv = [os.path.join(order["root"], order["entry"])]
        reading, writing = os.pipe()
        os.write(writing, b"y\n" * 64)
        os.dup2(reading, 0)
    sys.path[:0] = (os.path.join(order["root"], folder) if folder else order["root"] for folder in order["paths"])


def _load(order: dict[str, Any], tools: Tools, tell: Callable[..., None]) -> list[Test]:
    if order["hides"] and not order["watched"]:
        sys.meta_path[:] = [one if one is tools else Absent(tools, one) for one in sys.meta_path]
    tests: list[Test] = []
    session = Store()
    for file in order["files"]:
        tell(running="", file=file["path"])
        signal.alarm(_LOADING_SECONDS)
        try:
            tests += Module(file["path"], file["text"], order, tools, session).tests(tools)
        except BaseException as error:  # noqa: BLE001 - whatever the change raises when it is loaded
            by_change = not isinstance(error, ImportError) and _is_raised_in(error, _files_of(order))
            tell(file=file["path"], outcome="not-loaded", message=_said(error), by_change=by_change)
        else:
            tell(file=file["path"], outcome="loaded")
        finally:
            signal.alarm(0)
    return tests


def main(order: dict[str, Any]) -> None:
    """Run the tests of an order and write what came of it.

    Args:
        order: `watched`; `neutral`, true to give tests names that say nothing; `root`, where the checkout stands;
            `entry`, the script's name; `paths` to import from; `files`, each with path and text; `own`, paths of those
            that are the project's; `limit` in seconds for these;
            `changed`, paths of the change's product files, and the `modules` among them; `age` and `shift` in seconds;
            `rounds` and `budget` in seconds of repetition; `hides`, true to hide runners; `out`, a file's path.
    """
    with open(order["out"], "a", encoding="utf-8") as out:

        def tell(**what: Any) -> None:
            out.write(json.dumps(what) + "\n")
            out.flush()

        questions = Questions(_files_of(order))
        _settle(order)
        clock = Clock()
        folders: set[str] = {os.path.join(order["root"], os.path.dirname(file["path"])) for file in order["files"]}
        tools = Tools(tuple(f"{one}/" for one in folders if one != order["root"] + "/"), watched=order["watched"])
        with tools.shown():
            library = Library()
        tests = _load(order, tools, tell)
        Namespaces(library, {test.file.path: test.file for test in tests}.values(), tools, order["root"])
        library.check()
        time.sleep(order["age"])
        clock.seconds = order["shift"]
        passed = list(_run(tests, order, library, tools, tell))
        for name in order["modules"]:
            with contextlib.suppress(BaseException):  # a module that is no library
                importlib.import_module(name)
            library.check()
        for name, by in sorted(library.replaced.items()):
            tell(replaced=name, by=by)
        for name in questions.asked:
            tell(asked=name)
        tell(ended=True)
        if not order["watched"]:
            _repeat(passed, order, tools, tell)


def _run(
    tests: list[Test], order: dict[str, Any], library: Library, tools: Tools, tell: Callable[..., None]
) -> Iterator[Test]:
    ends, change = None, _files_of(order)
    for index, test in enumerate(tests):
        if test.file.path in order["own"]:
            ends = ends or time.monotonic() + order["limit"]
            if time.monotonic() > ends:
                continue
        library.running = test.file.path
        if order["watched"]:  # a test that patches for itself is checked when it is over
            sys.setprofile(None if test.file.patches else Returns(library, {test.file.file}))
        is_longer = not order["watched"] and test.file.path not in order["own"]
        tell(running=test.name, file=test.file.path)
        outcome, message, judges = attempt(test, tools, change, _SECONDS * (_LONGER if is_longer else 1))
        sys.setprofile(None)
        library.check(by_test=test.file.patches)
        tell(test=test.name, file=test.file.path, outcome=outcome, message=message, judges=judges)
        if outcome == "passed":
            yield test
        if index + 1 == len(tests) or tests[index + 1].file is not test.file:
            test.file.end()
