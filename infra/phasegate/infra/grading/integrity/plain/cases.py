"""Tests of a file: its functions, classes and parameters, as pytest would collect them.

Runs inside the sandbox. What a mark asks for is judged here, since there is no runner that would.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import linecache
import os
import platform
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

from phasegate.infra.grading.integrity.plain.code_images import CodeImages
from phasegate.infra.grading.integrity.plain.fixtures import (
    Fixtures,
    FixtureValues,
    Known,
    NoAttribute,
    NotHere,
    arguments_of,
    asked_of,
    fixtures_in,
)
from phasegate.infra.grading.integrity.plain.runners import Tools
from phasegate.infra.grading.integrity.plain.sources import TOOLS, Source

READS_NAMES = re.compile(
    r"__file__|__name__|__qualname__|traceback|inspect|_getframe|co_name|stack|caplog|getLogger"
    r"|request\.(?:node|path|cls|function|module)"
)
"""In a test that reads where or what it is itself, names are left as they are."""

_ASKS_FOR_NAMES = re.compile(r"\brequest\.(?:node|path|cls|function|module)\b")
"""In a conftest whose fixtures depend on the names of tests."""


class Case:
    """Arguments of one call of a test."""

    def __init__(self) -> None:
        """Start without any."""
        self.given: dict[str, Any] = {}
        self.params: dict[str, tuple[Any, Any]] = {}
        self.marks: list[Any] = []

    def more(self, name: str, key: Any, value: Any, *, indirect: bool) -> None:
        """Add an argument, or the parameter of a fixture."""
        if indirect:
            self.params[name] = (key, value)
        else:
            self.given[name] = value

    def copy(self) -> Case:
        """Make another one, to add to."""
        case = Case()
        case.given, case.params, case.marks = {**self.given}, {**self.params}, [*self.marks]
        return case


class Test:
    """Test with its parameters, and what `request.node` tells of it."""

    def __init__(self, name: str, module: Module, cls: Any, function: Any, marks: list[Any], case: Case) -> None:
        """Name it as its author did."""
        self.name, self.file, self.cls, self.function, self.case = name, module, cls, function, case
        self.marks = [getattr(mark, "mark", mark) for mark in (*case.marks, *marks)]
        self.originalname = name.rpartition("::")[2].partition("[")[0]
        self.nodeid, self.path = f"{module.path}::{name}", module.file
        self.module, self.keywords = module.made, {mark.name: mark for mark in self.marks}
        self.obj: Any = None
        self.fixturenames = list(case.given)

    def get_closest_marker(self, name: str, default: Any = None) -> Any:
        """Innermost mark of a name."""
        return next(self.iter_markers(name), default)

    def iter_markers(self, name: str | None = None) -> Iterator[Any]:
        """Marks, the innermost first."""
        return (mark for mark in self.marks if name in (None, mark.name))

    def __getattr__(self, name: str) -> Any:
        raise NoAttribute("request.node." + name)

    def run(self, tools: Tools) -> None:
        """Run it once.

        Raises:
            NotHere: It needs what is not here.
            BaseException: Whatever it raises.
        """
        if reason := _reason_to_leave_out(self.marks, self.file.space):
            raise NotHere(reason)
        self.file.begin()
        store = self.file.store_of(self.cls) if self.cls else self.file.stores["module"]
        stores = {**self.file.stores, "class": store}
        is_case = isinstance(self.function, str)
        self.obj = self.cls(self.function) if is_case else self.cls() if self.cls else None
        fixtures = Fixtures(self.file.known_of(self.cls), tools, stores, self, self.case)
        try:
            fixtures.prepare(name for mark in self.iter_markers("usefixtures") for name in mark.args)
            if is_case:
                self.obj.debug()
                return
            function = self.function if self.cls is None else getattr(self.obj, self.function.__name__)
            owner, kind = (self.obj, "method") if self.cls else (self.module, "function")
            _call(owner, f"setup_{kind}", function)
            try:
                fixtures.call(function)
            finally:
                _call(owner, f"teardown_{kind}", function)
        finally:
            with contextlib.suppress(Exception):  # the test has its outcome
                fixtures.end()


class Module:
    """A test file, loaded."""

    def __init__(self, path: str, text: str, order: dict[str, Any], tools: Tools, session: FixtureValues) -> None:
        """Run its source, and with it the imports of the change's code."""
        own_name = path.rpartition("/")[2].partition(".")[0]
        neutral = order["neutral"] and own_name not in text and not READS_NAMES.search(text)
        neutral = neutral and not any(_ASKS_FOR_NAMES.search(_read(file)) for file in _conftests(path, order))
        self.patches = re.search(r"monkeypatch|mock|patch|setattr", text) is not None
        self.path, self.text, self.source = path, text, Source(text, neutral=neutral)
        self._known: Known = {}
        for fixture in _of_conftests(path, order, tools):
            self._known.setdefault(fixture.name, []).append(fixture)
        self.file = os.path.join(order["root"], order["entry"] if neutral else path)
        self.name = "__main__" if neutral else path[:-3].replace("/", ".")
        self.made = types.ModuleType(self.name)
        self.space = vars(self.made)
        self.space.update({"__file__": self.file, TOOLS: tools, **_package(path, order)})
        sys.modules[self.name] = self.made
        linecache.cache[self.file] = (len(text), None, text.splitlines(keepends=True), self.file)
        code = compile(self.source.tree, self.file, "exec", dont_inherit=True)
        self.images = CodeImages(code)
        exec(code, self.space)  # noqa: S102 - in the sandbox
        self.images.watch(self.space)
        for fixture in fixtures_in(self.space):
            self._known.setdefault(fixture.name, []).append(fixture)
        self.stores, self._classes = {"session": session, "module": FixtureValues()}, dict[Any, FixtureValues]()
        self._is_begun = False

    def begin(self) -> None:
        """Do what is to be done before its first test."""
        sys.modules[self.name] = self.made
        if not self._is_begun:
            self._is_begun = True
            self.stores["module"].ends.append(partial(_call, self.made, "teardown_module", self.made))
            _call(self.made, "setup_module", self.made)

    def end(self) -> None:
        """Do what is to be done after its last test."""
        for store in (*self._classes.values(), self.stores["module"]):
            with contextlib.suppress(Exception):  # its tests have their outcomes
                store.end()
        self._classes.clear()
        self._is_begun = False

    def store_of(self, cls: Any) -> FixtureValues:
        """Fixtures that live as long as a class of tests, which is set up with it."""
        if cls not in self._classes:
            store = self._classes[cls] = FixtureValues()
            begin, end = (
                ("setUpClass", "tearDownClass") if hasattr(cls, "setUpClass") else ("setup_class", "teardown_class")
            )
            store.ends.append(partial(_call, cls, end, cls))
            _call(cls, begin, cls)
        return self._classes[cls]

    def known_of(self, cls: Any) -> Known:
        """Fixtures that tests of a class may ask for, or functions beside classes."""
        known = {name: [*several] for name, several in self._known.items()}
        for base in reversed(cls.__mro__) if cls else ():
            for fixture in fixtures_in({**base.__dict__}, in_class=True):
                known.setdefault(fixture.name, []).append(fixture)
        return known

    def tests(self, tools: Tools) -> Iterator[Test]:
        """Its tests, in their order."""
        module_marks = _listed(self.space.get("pytestmark"))
        for name, value in list(self.space.items()):
            original = self.source.original(name)
            if getattr(value, "__module__", None) != self.space["__name__"]:
                continue
            if inspect.isfunction(value) and original.startswith("test"):
                yield from self._cases(original, value, module_marks, None)
            elif inspect.isclass(value):
                yield from self._methods(original, value, module_marks, tools)

    def _methods(self, name: str, cls: Any, marks: list[Any], tools: Tools) -> Iterator[Test]:
        is_case = issubclass(cls, tools("unittest", "TestCase"))
        if not is_case and (not name.startswith("Test") or "__init__" in vars(cls)):
            return
        marks = marks + _listed(getattr(cls, "pytestmark", None))
        bases: list[Any] = list(reversed(cls.__mro__))
        names: dict[str, None] = {key: None for base in bases for key in base.__dict__}
        for attribute in sorted(names) if is_case else names:
            method, original = inspect.getattr_static(cls, attribute), self.source.original(attribute)
            if not inspect.isfunction(method) or not original.startswith("test"):
                continue
            if is_case:
                own = marks + _listed(getattr(method, "pytestmark", None))
                yield Test(f"{name}::{original}", self, cls, attribute, own, Case())
            else:
                yield from self._cases(f"{name}::{original}", method, marks, cls)

    def _cases(self, name: str, function: Any, marks: list[Any], cls: Any) -> Iterator[Test]:
        marks = _listed(getattr(function, "pytestmark", None)) + marks
        cases = [Case()]
        for mark in [getattr(mark, "mark", mark) for mark in marks]:
            if mark.name == "parametrize":
                cases = [
                    extended_case for row in _rows(mark) for case in cases for extended_case in [_with_row(case, row)]
                ]
        known = self.known_of(cls)
        always = [fixture_name for fixture_name, fixtures in known.items() if fixtures[-1].autouse]
        used = [fixture_name for mark in marks if mark.name == "usefixtures" for fixture_name in mark.args]
        asked = asked_of([*always, *used, *arguments_of(function)], known)
        for fixture in asked.values():
            if fixture.params is not None:
                cases = [
                    extended_case
                    for number, value in enumerate(fixture.params)
                    for case in cases
                    for extended_case in [_with_param(case, fixture.name, number, value)]
                ]
        for number, case in enumerate(cases):
            yield Test(f"{name}[{number}]" if case.given or case.params else name, self, cls, function, marks, case)


def _with_row(case: Case, row: tuple[list[tuple[str, int, Any, bool]], list[Any]]) -> Case:
    extended_case = case.copy()
    for name, key, value, indirect in row[0]:
        extended_case.more(name, key, value, indirect=indirect)
    extended_case.marks += row[1]
    return extended_case


def _with_param(case: Case, name: str, key: int, value: Any) -> Case:
    if name in case.params or name in case.given:
        return case
    extended_case = case.copy()
    if _is_set(value):
        extended_case.marks += value.marks
        value = value.values[0]
    extended_case.more(name, key, value, indirect=True)
    return extended_case


def _rows(mark: Any) -> Iterator[tuple[list[tuple[str, int, Any, bool]], list[Any]]]:
    """Values of each set of parameters, with their names, and the set's own marks."""
    arguments = dict(zip(("argnames", "argvalues", "indirect"), mark.args, strict=False)) | dict(mark.kwargs)
    names, indirect = arguments["argnames"], arguments.get("indirect", False)
    names = [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else list(names)
    through = names if indirect is True else list(indirect or ())
    for number, value in enumerate(arguments["argvalues"]):
        row = tuple(value.values) if _is_set(value) else (value,) if len(names) == 1 else tuple(value)
        values = [(name, number, part, name in through) for name, part in zip(names, row, strict=False)]
        yield values, list(value.marks) if _is_set(value) else []


def _is_set(value: Any) -> bool:
    """True for what `pytest.param` makes."""
    return type(value).__name__ == "ParameterSet"


def _reason_to_leave_out(marks: Iterable[Any], space: dict[str, Any]) -> str:
    for mark in marks:
        if mark.name in ("skip", "trio"):
            return "it is marked"
        if mark.name in ("skipif", "xfail"):
            conditions = [*mark.args, *([mark.kwargs["condition"]] if "condition" in mark.kwargs else [])]
            if any(_holds(condition, space) for condition in conditions) or (mark.name == "xfail" and not conditions):
                return "it is marked"
    return ""


def _holds(condition: Any, space: dict[str, Any]) -> bool:
    if not isinstance(condition, str):
        return bool(condition)
    names = {**space, "os": os, "sys": sys, "platform": platform}
    return bool(eval(condition, names))  # noqa: S307 - as pytest does, and in the sandbox


def _call(owner: Any, name: str, *words: Any) -> None:
    """Call a function that sets up or takes down, if it is there, with as many words as it takes."""
    function: Callable[..., Any] | None = getattr(owner, name, None)
    if function is not None:
        function(*words[: len(inspect.signature(function).parameters)])


def _listed(marks: Any) -> list[Any]:
    """Marks of a module, a class or a function, which may be one or several."""
    if marks is None:
        return []
    several: Any = marks if type(marks) in (list, tuple) else [marks]
    return [getattr(mark, "mark", mark) for mark in several]


def _package(path: str, order: dict[str, Any]) -> dict[str, str]:
    folder = path.rpartition("/")[0]
    is_package = os.path.isfile(os.path.join(order["root"], folder, "__init__.py"))
    return {"__package__": folder.replace("/", ".")} if folder and is_package else {}


def texts_of_tests(order: dict[str, Any]) -> Iterator[str]:
    """Texts of an order's files and of the conftests above them."""
    paths = dict.fromkeys(path for file in order["files"] for path in _conftests(file["path"], order))
    yield from (file["text"] for file in order["files"])
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as source:
            yield source.read()


def _conftests(path: str, order: dict[str, Any]) -> Iterator[str]:
    """Conftests above a file, the outermost first."""
    folder = order["root"]
    for part in ["", *path.split("/")[:-1]]:
        folder = os.path.join(folder, part)
        if os.path.isfile(os.path.join(folder, "conftest.py")):
            yield os.path.join(folder, "conftest.py")


@lru_cache(maxsize=256)
def _read(file: str) -> str:
    with open(file, encoding="utf-8") as source:
        return source.read()


def _of_conftests(path: str, order: dict[str, Any], tools: Tools) -> Iterator[Any]:
    """Fixtures of the conftests above a file; each of these is run once."""
    for file in _conftests(path, order):
        if file not in tools.conftests:
            source = Source(_read(file), neutral=False)
            space: dict[str, Any] = {"__name__": "conftest", "__file__": file, TOOLS: tools}
            space.update(_package(os.path.relpath(file, order["root"]), order))
            exec(compile(source.tree, file, "exec", dont_inherit=True), space)  # noqa: S102 - in the sandbox
            tools.conftest_spaces.append(space)
            tools.conftests[file] = [*_of_plugins(space), *fixtures_in(space)]
        yield from tools.conftests[file]


def _of_plugins(space: dict[str, Any]) -> Iterator[Any]:
    named: Any = space.get("pytest_plugins", [])
    for name in [named] if isinstance(named, str) else named:
        with contextlib.suppress(ImportError):
            yield from fixtures_in(vars(importlib.import_module(name)))
