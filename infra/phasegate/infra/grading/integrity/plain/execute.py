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
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from opcode import opmap
from typing import Any

from phasegate.infra.grading.integrity.plain.calls import try_calls
from phasegate.infra.grading.integrity.plain.cases import Module, Test, texts_of_tests
from phasegate.infra.grading.integrity.plain.clocks import Clocks
from phasegate.infra.grading.integrity.plain.fixtures import FixtureValues, NotHere
from phasegate.infra.grading.integrity.plain.imports import Imports, assertions_of_others
from phasegate.infra.grading.integrity.plain.library import Library, Returns
from phasegate.infra.grading.integrity.plain.loaded import Unloaded
from phasegate.infra.grading.integrity.plain.namespaces import Namespaces
from phasegate.infra.grading.integrity.plain.packages import hide_traces
from phasegate.infra.grading.integrity.plain.questions import AskedQuestions
from phasegate.infra.grading.integrity.plain.runners import Tools

_SECONDS, _LONGER = 20, 3
"""Time of a test, and how much more a sealed one has in the plain process, where it may be slower."""
_LOADING_SECONDS = 60
_LATER = 4
"""Round of repetition before which time passes; it does so again before what fails there is tried again."""
_PAUSES = 2
"""Further times at most that this is waited for; otherwise clocks alone show it."""
_LOOKS_AT_THREADS = re.compile(
    r"active_count|threading\.enumerate|main_thread|current_thread|num_threads|fork|multiprocessing|ProcessPool|/proc\b"
)
_OF_TESTS_ALONE = re.compile(r"tests?|testing|specs?", re.IGNORECASE)
"""Name of a folder that holds nothing of a product."""
_NAMES_A_RUNNER = re.compile(r"pytest|pluggy|unittest|\btests?\b")
"""In the message of a module that says itself that it is for tests alone."""
_RAISES = opmap["RAISE_VARARGS"]
_ROOM = ("MemoryError", "RecursionError", "OSError", "BlockingIOError")
"""Errors of a process that has run out of something, which repeating brings about."""
_JUDGEMENTS = ("AssertionError", "Failed")
"""Errors by which a test says that what it got is wrong."""


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


def _is_missing(error: BaseException, change: set[str]) -> bool:
    """True for the error of an import that finds nothing; not for one that a file raises itself, and for no such error.

    A file may do so for an import that it has tried, or for want of a runner that it names.
    """
    if not isinstance(error, ImportError):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code.co_filename not in change or _NAMES_A_RUNNER.search(str(error)):
        return True
    return isinstance(error.__context__, ImportError) or trace.tb_frame.f_code.co_code[trace.tb_lasti] != _RAISES


def _time_is_up(*_: Any) -> None:
    raise TimeoutError("it took too long")


class Repetition:
    """Tests that are run again and again, each with its share of the time."""

    def __init__(self, tests: list[Test], order: dict[str, Any], tools: Tools, clocks: Clocks) -> None:
        """Share the time out."""
        self._all, self._going, self._tools, self._clocks = tests, list(tests), tools, clocks
        self._change = _files_of(order)
        self._rounds, self._budget, self._patience = order["rounds"], order["budget"], order["patience"]
        self._share, self._used, self._spent = self._budget / max(1, len(tests)), dict.fromkeys(tests, 0.0), 0.0
        self._gap, self._pauses = float(order["gap"]), 0

    def run(self, tell: Callable[..., None]) -> None:
        """Repeat what passes, and tell of a test that passes at first, and later never again."""
        for number in range(2, self._rounds):
            if number == _LATER + 1:
                self._spent = 0.0  # whatever slow tests took
            if not self._going or (number > _LATER and self._spent > self._budget):
                return
            if number == _LATER:
                self._pause()
            if number > _LATER and all(self._used[test] > self._share for test in self._going):
                self._share *= 2  # time is left
            tried = [(test, self._try(test, number)) for test in list(self._going) if self._has_time(test, number)]
            failing = {test: message for test, message in tried if message}
            if failing and number > _LATER:
                failing = self._failing_in_order(failing)
            for test, message in failing.items() if number > 2 else ():
                if not message.startswith(_ROOM):
                    tell(test=test.name, file=test.file.path, outcome="decayed", message=message, round=number)

    def _has_time(self, test: Test, number: int) -> bool:
        """True if a test is to run in a round; otherwise others have the time."""
        is_over, is_first = self._spent > self._budget, number <= _LATER
        return self._used[test] <= self._share if is_over == is_first else is_first

    def _try(self, test: Test, number: int) -> str:
        """Run a test once more; a message, if it fails and goes on to fail in the first rounds."""
        begun = self._clocks.real_time(), self._clocks.real_used()
        outcome, message, _ = attempt(test, self._tools, self._change)
        worked, lasted = self._clocks.real_used() - begun[1], self._clocks.real_time() - begun[0]
        cost = max(worked, lasted / self._patience)
        self._used[test], self._spent = self._used[test] + cost, self._spent + cost
        if outcome == "passed":
            return ""
        self._going.remove(test)
        for _ in range(2 if number <= _LATER else 0):
            if number == _LATER:
                self._pause(is_short=self._pauses >= _PAUSES)
                self._pauses += 1
            if attempt(test, self._tools, self._change)[0] != "failed":
                message = ""
        return message

    def _failing_in_order(self, failing: dict[Test, str]) -> dict[Test, str]:
        """Tests that fail among all others as well, twice: one may need what another leaves, which has had its time."""
        for _ in range(2):
            outcomes = {test: attempt(test, self._tools, self._change)[0] for test in self._all}
            failing = {test: message for test, message in failing.items() if outcomes[test] == "failed"}
        return failing

    def _pause(self, *, is_short: bool = False) -> None:
        """Wait between two calls, by clocks much longer than in truth."""
        self._clocks.pass_on()
        time.sleep(0.0 if is_short else self._gap)


def _files_of(order: dict[str, Any]) -> set[str]:
    """Files of the change, where they stand."""
    return {os.path.join(order["root"], path) for path in order["changed"]}


def _hidden(order: dict[str, Any]) -> list[str]:
    """Folders of tests that the plain process does not name in its search path: a release imports nothing from them."""
    named = [folder for folder in order["paths"] if _OF_TESTS_ALONE.fullmatch(os.path.basename(folder))]
    return [] if order["watched"] else [os.path.join(order["root"], folder) for folder in named]


def _age_folders(order: dict[str, Any]) -> None:
    """Set the times of folders back: this script and Python have written to them."""
    if not order["watched"]:
        for folder in {os.path.dirname(file) for file in _files_of(order)} | {order["root"]}:
            oldest = min((entry.stat(follow_symlinks=False).st_mtime for entry in os.scandir(folder)), default=0)
            os.utime(folder, (oldest, oldest))


def _begin_thread(order: dict[str, Any]) -> None:
    """Start a second thread, as services do, unless a test may look at threads or fork."""
    if not any(_LOOKS_AT_THREADS.search(file["text"]) for file in order["files"]):
        threading.Thread(target=threading.Event().wait, name="worker", daemon=True).start()


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:500]}".rstrip(": ")


def _settle(order: dict[str, Any]) -> None:
    """Make the process look like what it is to be."""
    os.chdir("/" if order["daemon"] else order["root"])
    signal.signal(signal.SIGALRM, _time_is_up)
    if not order["watched"]:
        sys.argv = [os.path.join(order["root"], order["entry"]), *(["serve"] if order["daemon"] else [])]
        os.environ.pop("PYTHONHASHSEED", None)  # it has had its effect
    hidden = _hidden(order)
    paths: list[str] = order["paths"]
    places = [os.path.join(order["root"], folder) if folder else order["root"] for folder in paths]
    sys.path[:0] = [place for place in places if place not in hidden]


def _load(order: dict[str, Any], tools: Tools, tell: Callable[..., None]) -> list[Test]:
    if order["hides"] and not order["watched"]:
        tools.be_absent()
    tests: list[Test] = []
    session = FixtureValues()
    for file in order["files"]:
        tell(running="", file=file["path"])
        signal.alarm(_LOADING_SECONDS)
        try:
            tests += Module(file["path"], file["text"], order, tools, session).tests(tools)
        except BaseException as error:  # noqa: BLE001 - whatever the change raises when it is loaded
            by_change = not _is_missing(error, _files_of(order)) and _is_raised_in(error, _files_of(order))
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
            `loaded`, modules that Python itself has loaded; `rounds` and `budget` in seconds of repetition, which
            may take `patience` times as long by the clock; `gap`, seconds to wait between two calls;
            `hides`, true to hide runners; `takes`, true to take them from the disk, too; `daemon`, true to work in `/`;
            `calls`, true to try calls of tests with other inputs; `out`, a file's path.
    """
    with open(order["out"], "a", encoding="utf-8") as out:

        def tell(**what: Any) -> None:
            out.write(json.dumps(what) + "\n")
            out.flush()

        questions = AskedQuestions(_files_of(order))
        _settle(order)
        folders: set[str] = {os.path.join(order["root"], os.path.dirname(file["path"])) for file in order["files"]}
        beside = tuple(f"{folder}/" for folder in folders if folder != order["root"] + "/")
        own: list[str] = [*(file["path"] for file in order["files"]), order["entry"]]
        tested = tuple(os.path.join(order["root"], path) for path in own)
        helpers = tuple(folder for folder in beside if _OF_TESTS_ALONE.fullmatch(os.path.basename(folder[:-1])))
        clocks = Clocks(order["root"], tested + helpers, order["shift"])
        tools = Tools(beside, watched=order["watched"], hidden=_hidden(order), texts=texts_of_tests(order))
        with tools.shown():
            library = copy_context().run(Library, runners=tools.has_all)  # it leaves variables there
        if tools.first is not None:
            if order["takes"]:
                tools.packages.take(texts_of_tests(order))
            Unloaded(order["loaded"], tools.first)
            hide_traces()
            _begin_thread(order)
        tests = _load(order, tools, tell)
        modules = list({test.file.path: test.file for test in tests}.values())
        Namespaces(library, modules, tools, order["root"])
        Imports(library, modules, tools, order)
        library.check()
        time.sleep(order["age"])
        clocks.age()
        _age_folders(order)
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
            Repetition(passed, order, tools, clocks).run(tell)
        try_calls(passed, order, lambda test: test.run(tools), tell)


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
        library.replaced.update(assertions_of_others(test, order["root"]))
        tell(test=test.name, file=test.file.path, outcome=outcome, message=message, judges=judges)
        if outcome == "passed":
            yield test
        if index + 1 == len(tests) or tests[index + 1].file is not test.file:
            for name in () if "__code__" in test.file.text else test.file.images.altered():
                library.replaced.setdefault(f"{test.file.path}::{test.file.source.original(name)}", "")
            test.file.end()
