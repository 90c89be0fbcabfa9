"""Execution of tests in a plain process, and in one that looks like a runner's, for comparison.

Runs inside the sandbox. Both processes do the same; they differ in what code under test could tell them apart by. In
the plain one no runner is loaded, the tests have other names, time has passed, standard input holds something, and
each test is repeated. Results are lines of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import linecache
import os
import re
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from phasegate.infra.grading.integrity.plain.fixtures import Fixtures, NotHere
from phasegate.infra.grading.integrity.plain.library import Library, Returns
from phasegate.infra.grading.integrity.plain.runners import Absent, Tools
from phasegate.infra.grading.integrity.plain.sources import TOOLS, Source

_SECONDS = 20
_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "time_ns", "monotonic_ns", "perf_counter_ns")
_READS_NAMES = re.compile(r"__file__|__name__|__qualname__|traceback|inspect|_getframe|co_name|stack|caplog|getLogger")
"""In a test that reads where or what it is itself, names are left as they are."""
_ROOM = ("MemoryError", "RecursionError", "OSError", "BlockingIOError")
"""Errors of a process that has run out of something, which repeating brings about."""


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


class Test:
    """Test with its parameters."""

    def __init__(self, name: str, module: Module, run: Callable[[Fixtures], Any], marks: list[Any]) -> None:
        """Name it as its author did."""
        self.name, self.module, self.run, self.marks = name, module, run, marks


class Module:
    """A test file, loaded."""

    def __init__(self, path: str, text: str, order: dict[str, Any], tools: Tools) -> None:
        """Run its source, and with it the imports of the change's code."""
        own_name = path.rpartition("/")[2].partition(".")[0]
        neutral = order["neutral"] and own_name not in text and not _READS_NAMES.search(text)
        self.patches = re.search(r"monkeypatch|mock|patch|setattr", text) is not None
        self.path, self.fixtures = path, dict(_conftests(path, order, tools))
        self.source = Source(text, neutral=neutral)
        self.file = os.path.join(order["root"], order["entry"] if neutral else path)
        self.name = "__main__" if neutral else path[:-3].replace("/", ".")
        self.made = types.ModuleType(self.name)
        self.space = vars(self.made)
        self.space.update({"__file__": self.file, TOOLS: tools})
        folder = path.rpartition("/")[0]
        if os.path.isfile(os.path.join(order["root"], folder, "__init__.py")):
            self.space["__package__"] = folder.replace("/", ".")
        sys.modules[self.name] = self.made
        linecache.cache[self.file] = (len(text), None, text.splitlines(keepends=True), self.file)
        exec(compile(self.source.tree, self.file, "exec", dont_inherit=True), self.space)  # noqa: S102 - in the sandbox
        self.fixtures.update({one.name: (one, self.space) for one in self.source.fixtures})

    def tests(self, tools: Tools) -> Iterator[Test]:
        """Its tests, in their order."""
        module_marks = _listed(self.space.get("pytestmark"))
        for name, value in list(self.space.items()):
            original = self.source.original(name)
            if getattr(value, "__module__", None) != self.space["__name__"]:
                continue
            if inspect.isfunction(value) and original.startswith("test"):
                yield from self._cases(original, value, module_marks, partial(_itself, value))
            elif inspect.isclass(value):
                yield from self._methods(original, value, module_marks, tools)

    def _methods(self, name: str, cls: type, marks: list[Any], tools: Tools) -> Iterator[Test]:
        is_case = issubclass(cls, tools("unittest", "TestCase"))
        if not is_case and not name.startswith("Test"):
            return
        marks = marks + _listed(getattr(cls, "pytestmark", None))
        for attribute in sorted(vars(cls)) if is_case else list(vars(cls)):
            method, original = vars(cls)[attribute], self.source.original(attribute)
            if not inspect.isfunction(method) or not original.startswith("test"):
                continue
            if is_case:
                yield Test(name + "::" + original, self, partial(_debug, cls, attribute), [])
            else:
                yield from self._cases(name + "::" + original, method, marks, partial(_instance, cls, attribute))

    def _cases(self, name: str, function: Any, marks: list[Any], bound: Callable[[], Any]) -> Iterator[Test]:
        marks = marks + _listed(getattr(function, "pytestmark", None))
        for number, given in enumerate(_parameters(marks)):

            def run(fixtures: Fixtures, given: dict[str, Any] = given) -> Any:
                for mark in marks:
                    if mark.name == "usefixtures":
                        for wanted in mark.args:
                            fixtures.use(wanted)
                return fixtures.call(bound(), given)

            yield Test(f"{name}[{number}]" if given else name, self, run, marks)


def _itself(value: Any) -> Any:
    return value


def _debug(cls: Any, attribute: str, _: Fixtures) -> None:
    if "_is_set_up" not in vars(cls):
        cls.setUpClass()
        cls._is_set_up = True
    cls(attribute).debug()


def _instance(cls: type, attribute: str) -> Any:
    made = cls()
    method = getattr(made, attribute)
    if hasattr(made, "setup_method"):
        made.setup_method(*([method] if len(inspect.signature(made.setup_method).parameters) else []))
    return method


def _listed(marks: Any) -> list[Any]:
    """Marks of a module, a class or a function, which may be one or several."""
    if marks is None:
        return []
    several: Any = marks if type(marks) in (list, tuple) else [marks]
    return [*several]


def _parameters(marks: list[Any]) -> list[dict[str, Any]]:
    """Keyword arguments of each case; one case without any where a test has no parameters."""
    cases: list[dict[str, Any]] = [{}]
    for mark in [getattr(mark, "mark", mark) for mark in marks]:
        if mark.name != "parametrize":
            continue
        names, values = mark.args[0], list(mark.args[1])
        names = [one.strip() for one in names.split(",") if one.strip()] if isinstance(names, str) else list(names)
        rows = [
            tuple(value.values) if _is_set(value) else (value,) if len(names) == 1 else tuple(value)
            for value in values
            if not (_is_set(value) and value.marks)
        ]
        cases = [{**case, **{name: row[at] for at, name in enumerate(names)}} for row in rows for case in cases]
    return cases


def _is_set(value: Any) -> bool:
    """True for what `pytest.param` makes."""
    return type(value).__name__ == "ParameterSet"


def _conftests(path: str, order: dict[str, Any], tools: Tools) -> Iterator[tuple[str, Any]]:
    folder = order["root"]
    for part in ["", *path.split("/")[:-1]]:
        folder = os.path.join(folder, part)
        file = os.path.join(folder, "conftest.py")
        if not os.path.isfile(file):
            continue
        with open(file, encoding="utf-8") as read:
            source = Source(read.read(), neutral=False)
        space: dict[str, Any] = {"__name__": "conftest", "__file__": file, TOOLS: tools}
        exec(compile(source.tree, file, "exec", dont_inherit=True), space)  # noqa: S102 - in the sandbox
        for fixture in source.fixtures:
            yield fixture.name, (fixture, space)


def attempt(test: Test, tools: Tools) -> tuple[str, str]:
    """Run a test once; its outcome (passed, failed, skipped, not-here) and a message."""
    fixtures = Fixtures(test.module.fixtures, tools)
    sys.modules[test.module.name] = test.module.made
    signal.alarm(_SECONDS)
    try:
        if any(getattr(mark, "mark", mark).name in ("skip", "skipif", "xfail") for mark in test.marks):
            return "not-here", "it is marked"
        made = test.run(fixtures)
        if inspect.iscoroutine(made):
            asyncio.run(made)
    except NotHere as error:
        return "not-here", str(error)
    except BaseException as error:  # noqa: BLE001 - whatever the change raises is the test's outcome
        kind = type(error).__name__
        return ("skipped" if kind in ("Skipped", "SkipTest") else "failed"), _said(error)
    finally:
        signal.alarm(0)
        with contextlib.suppress(Exception):  # the test has its outcome
            fixtures.end()
    return "passed", ""


def _time_is_up(*_: Any) -> None:
    raise TimeoutError(f"it took more than {_SECONDS} seconds")


def _repeat(tests: list[Test], order: dict[str, Any], tools: Tools, tell: Callable[..., None]) -> None:
    """Repeat what passes again and again, and tell of a test that passes at first, and later never again."""
    ends, going = time.monotonic() + order["budget"], list(tests)
    for number in range(2, order["rounds"]):
        for test in list(going):
            if time.monotonic() > ends:
                return
            outcome, message = attempt(test, tools)
            if outcome == "passed":
                continue
            going.remove(test)
            again = [attempt(test, tools)[0] for _ in range(2)]
            if number > 2 and again == ["failed"] * 2 and not message.startswith(_ROOM):
                tell(test=test.name, file=test.module.path, outcome="decayed", message=message, round=number)


def _paths(order: dict[str, Any]) -> Iterator[str]:
    """Folders to import from: the project's, and where its editable installs point to, at this process's root."""
    root, fixed = order["root"], order["fixed"]
    for folder in list(sys.path):
        if not folder.endswith(("site-packages", "dist-packages")) or not os.path.isdir(folder):
            continue
        for name in sorted(os.listdir(folder)):
            if name.endswith(".pth") or re.match(r"__editable__.*\.py$", name):
                with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                    for found in re.findall(re.escape(fixed) + r"(?:/[^\s'\"]*)?(?=['\"\s]|$)", file.read()):
                        place = root + found[len(fixed) :]
                        yield place if name.endswith(".pth") else os.path.dirname(place)
    for folder in order["paths"]:
        yield os.path.join(root, folder) if folder else root


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
    sys.path[:0] = dict.fromkeys(_paths(order))


def _load(order: dict[str, Any], tools: Tools, tell: Callable[..., None]) -> list[Test]:
    if order["hides"] and not order["watched"]:
        sys.meta_path[:] = [one if one is tools else Absent(tools, one) for one in sys.meta_path]
    tests: list[Test] = []
    for file in order["files"]:
        try:
            tests += Module(file["path"], file["text"], order, tools).tests(tools)
        except BaseException as error:  # noqa: BLE001 - whatever the change raises when it is loaded
            tell(file=file["path"], outcome="not-loaded", message=_said(error))
    return tests


def main(order: dict[str, Any]) -> None:
    """Run the tests of an order and write what came of it.

    Args:
        order: `watched`; `neutral`, true to give tests names that say nothing; `root`, where the checkout stands;
            `fixed`, where installed packages expect it; `entry`, the script's name; `paths` to import from; `files`,
            each with path and text; `own`, paths of those that are the project's; `limit` in seconds for these;
            changed `modules`; `age` and `shift` in seconds; `rounds` and `budget` in seconds of repetition; `hides`,
            true to hide runners; `out`, a file's path.
    """
    with open(order["out"], "a", encoding="utf-8") as out:

        def tell(**what: Any) -> None:
            out.write(json.dumps(what) + "\n")
            out.flush()

        _settle(order)
        clock = Clock()
        folders: set[str] = {os.path.join(order["root"], os.path.dirname(file["path"])) for file in order["files"]}
        tools = Tools(tuple(f"{one}/" for one in folders if one != order["root"] + "/"), watched=order["watched"])
        with tools.shown():
            library = Library()
        tests = _load(order, tools, tell)
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
        tell(ended=True)
        if not order["watched"]:
            _repeat(passed, order, tools, tell)


def _run(
    tests: list[Test], order: dict[str, Any], library: Library, tools: Tools, tell: Callable[..., None]
) -> Iterator[Test]:
    ends = None
    for test in tests:
        if test.module.path in order["own"]:
            ends = ends or time.monotonic() + order["limit"]
            if time.monotonic() > ends:
                continue
        if order["watched"]:  # a test that patches for itself is checked when it is over
            sys.setprofile(None if test.module.patches else Returns(library, {test.module.file}))
        outcome, message = attempt(test, tools)
        sys.setprofile(None)
        library.check(by_test=test.module.patches)
        tell(test=test.name, file=test.module.path, outcome=outcome, message=message)
        if outcome == "passed":
            yield test
