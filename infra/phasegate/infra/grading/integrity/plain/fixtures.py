"""Fixtures of test functions, made without a runner: the common ones of pytest, and the project's own.

Runs inside the sandbox. A test that asks for anything else cannot be run here, which is said of it.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from phasegate.infra.grading.integrity.plain.captures import Capture, LogCapture

_WIDER = ("class", "module", "package", "session")


class NotHere(Exception):
    """A test needs what only its runner can give."""


class NoAttribute(NotHere, AttributeError):
    """A test asks for an attribute that only its runner can give; it may ask whether that is there."""


class Fixture:
    """A fixture function as the project has it."""

    def __init__(self, name: str, function: Callable[..., Any], marker: Any, *, in_class: bool) -> None:
        """Remember it, and what its decorator says."""
        self.name, self.function, self.in_class = name, function, in_class
        self.autouse = bool(marker.autouse)
        self.scope = marker.scope if isinstance(marker.scope, str) else "function"
        self.params: list[Any] | None = None if marker.params is None else list(marker.params)


Known = dict[str, list[Fixture]]
"""Fixtures by name; of several with one name, the last one overrides the others, and may ask for them."""


def fixtures_in(space: dict[str, Any], *, in_class: bool = False) -> Iterator[Fixture]:
    """Find the fixtures of a module or of a class, whatever version of pytest has made them."""
    for key, value in list(space.items()):
        if type(value).__name__ not in ("function", "FixtureFunctionDefinition"):
            continue
        attributes: dict[str, Any] = value.__dict__
        marker: Any = attributes.get("_pytestfixturefunction") or attributes.get("_fixture_function_marker")
        if marker is None:
            continue
        wrapped: Any = attributes.get("__pytest_wrapped__")
        function: Any = (
            wrapped.obj if wrapped else attributes.get("_fixture_function", getattr(value, "__wrapped__", None))
        )
        if function is not None:
            yield Fixture(marker.name or key, function, marker, in_class=in_class)


class FixtureValues:
    """Values of fixtures that are kept for longer than one test, and what takes them down."""

    def __init__(self) -> None:
        """Start with none."""
        self.made: dict[Any, Any] = {}
        self.ends: list[Callable[[], object]] = []

    def end(self) -> None:
        """Take everything down again, the newest first."""
        self.made.clear()
        while self.ends:
            self.ends.pop()()


class FixtureRequest:
    """A test as its fixtures see it, as far as it needs no runner."""

    def __init__(self, fixtures: Fixtures, about: Any, store: FixtureValues, **more: Any) -> None:
        """Tell of a test."""
        self._fixtures, self._store = fixtures, store
        self.node = self.keywords = about
        self.module, self.cls, self.instance, self.function = about.module, about.cls, about.obj, about.function
        self.fixturename = more.get("name")
        self.scope = more.get("scope", "function")
        self.fixturenames = about.fixturenames
        self.path = self.fspath = about.path
        if "param" in more:
            self.param = more["param"]

    def getfixturevalue(self, name: str) -> Any:
        """Value of another fixture."""
        return self._fixtures.value(name)

    def addfinalizer(self, end: Callable[[], object]) -> None:
        """Register what is done when the fixture's scope is over."""
        self._store.ends.append(end)

    def __getattr__(self, name: str) -> Any:
        raise NoAttribute("request." + name)


class Fixtures:
    """Values for one call of a test."""

    def __init__(
        self, known: Known, tools: Callable[..., Any], stores: dict[str, FixtureValues], about: Any, case: Any
    ) -> None:
        """Start with nothing made.

        Args:
            known: Fixtures of the test's class, of its module and of its conftests.
            tools: Gives a runner's module or something of it.
            stores: What lives longer, by its scope.
            about: The test.
            case: Arguments of the test, and parameters of fixtures.
        """
        self._known, self._tools, self._about = known, tools, about
        self._given, self._params = case.given, case.params
        self._own = FixtureValues()
        self._stores = stores
        self._loop: Any = None

    def call(self, function: Callable[..., Any]) -> Any:
        """Call a test with its fixtures and parameters, and wait for it where it is asynchronous."""
        result = function(**{**self._given, **{name: self.value(name) for name in arguments_of(function)}})
        return self._awaited(result) if inspect.iscoroutine(result) else result

    def prepare(self, names: Iterable[str]) -> None:
        """Make the fixtures that are used for their effect: those that are always used, and these."""
        always = [name for name, fixtures in self._known.items() if fixtures[-1].autouse]
        wide = [name for name in always if self._known[name][-1].scope in _WIDER]
        for name in dict.fromkeys([*wide, *always, *names]):
            self.value(name)

    def end(self) -> None:
        """Take everything down again that is this test's own."""
        self._own.end()
        if self._loop is not None:
            self._loop.close()

    def value(self, name: str, before: int = 0) -> Any:
        """Value of a fixture; with `before`, of the one that it overrides."""
        if name in self._given:
            return self._given[name]
        fixtures = self._known.get(name, [])
        if len(fixtures) <= before:
            return self._usual(name)
        fixture = fixtures[-1 - before]
        store = self._stores.get("session" if fixture.scope == "package" else fixture.scope, self._own)
        key = (fixture, self._params[name][0] if name in self._params else None)
        if key not in store.made:
            store.made[key] = self._make(fixture, store, before)
        return store.made[key]

    def _make(self, fixture: Fixture, store: FixtureValues, before: int) -> Any:
        function: Any = fixture.function
        arguments: dict[str, Any] = {}
        if fixture.in_class:
            owner: Any = self._about.obj if self._about.obj is not None else self._about.cls
            function = function.__get__(owner, type(owner))
        param = {"param": self._params[fixture.name][1]} if fixture.name in self._params else {}
        for name in arguments_of(function):
            if name == "request":
                arguments[name] = FixtureRequest(
                    self, self._about, store, name=fixture.name, scope=fixture.scope, **param
                )
            else:
                arguments[name] = self.value(name, before + 1 if name == fixture.name else 0)
        result: Any = function(**arguments)
        if inspect.isgenerator(result):
            value = next(result)
            store.ends.append(lambda: next(result, None))
            return value
        if inspect.isasyncgen(result):
            if store is not self._own:
                raise NotHere("an asynchronous fixture of wider scope")
            value = self._awaited(anext(result))
            store.ends.append(lambda: self._awaited(anext(result, None)))
            return value
        return self._awaited(result) if inspect.iscoroutine(result) else result

    def _awaited(self, work: Any) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(work)

    def _usual(self, name: str) -> Any:
        """Value of one of pytest's own fixtures."""
        value: Any = self._own.made.get(name)
        if value is None:
            value = self._own.made[name] = self._usual_made(name)
        return value

    def _usual_made(self, name: str) -> Any:
        ends = self._own.ends
        if name == "request":
            return FixtureRequest(self, self._about, self._own)
        if name in ("tmp_path", "tmpdir"):
            folder = Folders(ends).mktemp("")
            return self._tools("_pytest._py.path", "LocalPath")(str(folder)) if name == "tmpdir" else folder
        if name == "tmp_path_factory":
            return Folders(self._stores["session"].ends)
        if name == "monkeypatch":
            fixture = self._tools("_pytest.monkeypatch", "MonkeyPatch")()
            ends.append(fixture.undo)
        elif name in ("capsys", "capfd"):
            fixture = Capture()
            ends.append(fixture.end)
        elif name == "caplog":
            fixture = LogCapture()
            ends.append(fixture.end)
        elif name == "recwarn":
            fixture = self._tools("_pytest.recwarn", "WarningsRecorder")(_ispytest=True)
            fixture.__enter__()
            ends.append(lambda: fixture.__exit__(None, None, None))
        elif name == "mocker":
            fixture = self._tools("pytest_mock", "MockerFixture")(NoSettings())
            ends.append(fixture.stopall)
        elif name in ("anyio_backend", "anyio_backend_name"):
            return "asyncio"
        else:
            raise NotHere("fixture " + name)
        return fixture


class NoSettings:
    """Settings of a runner that has none."""

    def getini(self, name: str) -> Any:
        """Value of a setting."""
        return ""

    def getoption(self, name: str, default: Any = None) -> Any:
        """Value of an option."""
        return default


class Folders:
    """Temporary folders, as pytest's `tmp_path_factory` gives them."""

    def __init__(self, ends: list[Callable[[], object]]) -> None:
        """Make a folder for all of them."""
        self._folder = tempfile.TemporaryDirectory()
        ends.append(self._folder.cleanup)
        self._count = 0

    def getbasetemp(self) -> pathlib.Path:
        """Folder of all of them."""
        return pathlib.Path(self._folder.name).resolve()

    def mktemp(self, basename: str, numbered: bool = True) -> pathlib.Path:  # noqa: FBT001, FBT002 - as pytest has it
        """Make a folder."""
        path = self.getbasetemp() / (f"{basename}{self._count}" if numbered else basename)
        self._count += 1
        os.mkdir(path)
        return path


def arguments_of(function: Callable[..., Any]) -> list[str]:
    """Names of arguments that have to be given, without those that `mock.patch` gives."""
    names = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    patches = [patch for patch in getattr(function, "patchings", ()) if not patch.attribute_name]
    return names[sum(type(patch.new).__name__ == "_SentinelObject" for patch in patches) :]


def asked_of(names: Iterable[str], known: Known) -> dict[str, Fixture]:
    """Fixtures that these names stand for, and those that they ask for in turn."""
    fixtures: dict[str, Fixture] = {}
    pending = [*names]
    while pending:
        name = pending.pop()
        if name in known and name not in fixtures:
            fixtures[name] = known[name][-1]
            pending += [argument for fixture in known[name] for argument in arguments_of(fixture.function)]
    return fixtures
