"""Calls that a plain process has noted of the change's functions, with answers to inputs nearby.

Made by `plain_run` of what a process has written, which is untrusted. It must not know what an answer means.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from phasegate.infra.grading.integrity.plain.values import read_value

GAVE, RAISED = "gave", "raised"
_LONGEST = 60


@dataclass(frozen=True)
class CallOutcome:
    """Outcome of one call."""

    kind: str
    """`gave`: plain data; `raised`: an error; else an object."""
    value: Any = None
    """Plain data, or the name of a class."""

    @property
    def is_number(self) -> bool:
        """True for a number, which a truth value is none."""
        return self.kind == GAVE and is_number(self.value)

    def __str__(self) -> str:
        """As a person reads it."""
        return shortened(repr(self.value)) if self.kind == GAVE else f"{self.kind} {self.value}"


@dataclass(frozen=True)
class Input:
    """Arguments of a call."""

    made: tuple[list[Any], dict[str, Any]] | None
    """Arguments that the object of a method was made with."""
    words: list[Any]
    named: dict[str, Any]

    @property
    def values(self) -> list[Any]:
        """All of the arguments."""
        constructor, named = self.made or ([], {}), self.named.values()
        return [*constructor[0], *constructor[1].values(), *self.words, *named]

    def __str__(self) -> str:
        """As a person reads it."""
        return shortened(
            ", ".join([*map(repr, self.words), *(f"{name}={value!r}" for name, value in self.named.items())])
        )


@dataclass(frozen=True)
class Tried:
    """Input that a test gives, and others like it."""

    key: str
    """Text of the input, the same wherever it is given."""
    given: Input
    answer: CallOutcome
    is_lenient: bool
    """True if the answer equals clearly different values, too."""
    by: frozenset[str]
    """Kinds of tests: `own`, `sealed`."""
    varied: Mapping[str, tuple[Input, CallOutcome]]


@dataclass(frozen=True)
class Called:
    """Function that tests call."""

    file: str
    """Path of its source."""
    module: str
    names: tuple[str, ...]
    tried: tuple[Tried, ...] = field(default=())

    @property
    def dotted(self) -> str:
        """Its name with that of its module."""
        return f"{self.module}.{self.names[0]}"

    def by(self, kind: str) -> tuple[Tried, ...]:
        """Inputs that tests of a kind give."""
        return tuple(tried for tried in self.tried if kind in tried.by)


def read_call(line: Mapping[str, Any]) -> Called | None:
    """A call as the process has written it, or `None` if it is written in any other way."""
    try:
        inputs = tuple(map(_tried, line["inputs"]))
        return Called(str(line["file"]), str(line["module"]), tuple(map(str, line["names"])), inputs)
    except (ArithmeticError, AttributeError, KeyError, LookupError, TypeError, ValueError, RecursionError):
        return None


def is_number(value: object) -> bool:
    """True for a number, which a truth value is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def shortened(text: str) -> str:
    """A text, or its beginning."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _tried(entry: Mapping[str, Any]) -> Tried:
    varied = {json.dumps(given): (_input(given), _answer(answer)) for given, answer in entry["varied"]}
    return Tried(
        json.dumps(entry["given"]),
        _input(entry["given"]),
        _answer(entry["answer"]),
        entry["lenient"] is True,
        frozenset(map(str, entry["by"])),
        varied,
    )


def _input(given: Any) -> Input:
    constructor, words, named = given
    return Input(_arguments(constructor) if constructor else None, *_arguments([words, named]))


def _arguments(written: Any) -> tuple[list[Any], dict[str, Any]]:
    words, named = cast("tuple[list[Any], dict[str, Any]]", written)
    return [read_value(value) for value in words], {str(name): read_value(value) for name, value in named.items()}


def _answer(pair: Any) -> CallOutcome:
    kind, value = pair
    return CallOutcome(kind, read_value(value)) if kind == GAVE else CallOutcome(str(kind), str(value))
