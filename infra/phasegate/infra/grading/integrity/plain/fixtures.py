"""Fixtures of test functions, made without a runner: the common ones of pytest, and the project's own simple ones.

Runs inside the sandbox. A test that asks for anything else cannot be run here, which is said of it.
"""

from __future__ import annotations

import inspect
import io
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any


class NotHere(Exception):
    """A test needs what only its runner can give."""


class Fixtures:
    """Values for one call of a test."""

    def __init__(self, known: dict[str, tuple[Any, dict[str, Any]]], tools: Callable[..., Any]) -> None:
        """Start with nothing made.

        Args:
            known: Fixtures of the test's module and of its conftests, each with the namespace of its function.
            tools: Gives a runner's module or something of it.
        """
        self._known, self._tools = known, tools
        self._made: dict[str, Any] = {}
        self._ends: list[Callable[[], object]] = []

    def call(self, function: Callable[..., Any], given: dict[str, Any]) -> Any:
        """Call a test with its fixtures and parameters."""
        for fixture, _ in self._known.values():
            if fixture.autouse:
                self._value(fixture.name)
        return function(**given, **self._arguments(function, given))

    def end(self) -> None:
        """Take everything down again, the newest first."""
        while self._ends:
            self._ends.pop()()

    def use(self, name: str) -> None:
        """Make a fixture for its effect."""
        self._value(name)

    def _arguments(self, function: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
        wanted = inspect.signature(function).parameters.values()
        return {
            one.name: self._value(one.name)
            for one in wanted
            if one.name not in given
            and one.default is one.empty
            and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
        }

    def _value(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Any:
        if name in self._known:
            fixture, namespace = self._known[name]
            if not fixture.is_simple:
                raise NotHere("fixture " + name)
            function = namespace[fixture.function]
            made = function(**self._arguments(function, {}))
            if inspect.isgenerator(made):
                value = next(made)
                self._ends.append(lambda: next(made, None))
                return value
            return made
        if name == "tmp_path":
            folder = tempfile.TemporaryDirectory()
            self._ends.append(folder.cleanup)
            return pathlib.Path(folder.name).resolve()
        if name == "monkeypatch":
            patch = self._tools("_pytest.monkeypatch", "MonkeyPatch")()
            self._ends.append(patch.undo)
            return patch
        if name in ("capsys", "capfd"):
            capture = Capture()
            self._ends.append(capture.end)
            return capture
        raise NotHere("fixture " + name)


class Capture:
    """Printed text, as pytest's `capsys` gives it."""

    def __init__(self) -> None:
        """Start to capture."""
        self._before = sys.stdout, sys.stderr
        self._begin()

    def readouterr(self) -> Any:
        """Printed text since the last call."""
        read = Captured(self._out.getvalue(), self._err.getvalue())
        self._begin()
        return read

    def end(self) -> None:
        """Give the streams back."""
        sys.stdout, sys.stderr = self._before

    def _begin(self) -> None:
        self._out, self._err = io.StringIO(), io.StringIO()
        sys.stdout, sys.stderr = self._out, self._err


class Captured:
    """Output and errors, which can be taken by name and by place."""

    def __init__(self, out: str, err: str) -> None:
        """Pair them."""
        self.out, self.err = out, err

    def __iter__(self) -> Iterator[str]:
        return iter((self.out, self.err))

    def __getitem__(self, place: int) -> str:
        return (self.out, self.err)[place]
