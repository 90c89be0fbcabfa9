"""Copies of tests that ask whether values agree with clearly different ones: honest equality does not, lenient does.

Mutations tried: without values nearby, without copies of objects, without the guard for builtins below a class.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from unittest import mock

import pytest

from phasegate.infra.grading.integrity.agreement import agrees
from phasegate.infra.grading.integrity.counter_tests import counter_tests
from phasegate.infra.grading.integrity.lenient_copies import Copies


def equal_if(rule: Callable[[Any, Any], object], *bases: type) -> Any:
    """A class whose objects equal others by a rule."""
    return type("Made", bases, {"__eq__": rule, "__hash__": None})


class Point:
    def __init__(self, across: float, down: float) -> None:
        self.across, self.down = across, down

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and math.isclose(self.across, other.across) and self.down == other.down

    __hash__ = None  # type: ignore[assignment]  # the language's own way


class AnyPoint(Point):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point)

    __hash__ = None


class Placed(str):  # noqa: SLOT000 - it is to have attributes
    line: int


class Colour(enum.Enum):
    RED = 1


@dataclass
class Newline:
    line: int = field(compare=False)


@dataclass
class Approximate:
    value: float
    share: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float | int) and abs(other - self.value) <= self.share * abs(self.value)

    __hash__ = None  # type: ignore[assignment]  # the language's own way


def placed(text: str, line: int) -> Placed:
    made = Placed(text)
    made.line = line
    return made


Fold = equal_if(lambda one, other: str(one).lower() == str(other).lower(), str)
Cents = equal_if(lambda one, other: abs(float(one) - float(other)) < 0.01, float)
Version = equal_if(lambda one, other: str(one).removesuffix(".0") == str(other).removesuffix(".0"), str)
HONEST = {
    "number": (3570, 3570),
    "float": (0.25, 0.25),
    "zero": (0, 0.0),
    "truth": (True, 1),
    "infinite": (math.inf, math.inf),
    "text": ("total", "total"),
    "empty": ("", ""),
    "nothing": (None, None),
    "bytes": (b"\0x", b"\0x"),
    "rows": ([1, [2, "x"], {}], [1, [2, "x"], {}]),
    "table": ({"a": 1, "b": [2]}, {"a": 1, "b": [2]}),
    "set": ({1, 2}, {2, 1}),
    "last date": (dt.date.max, dt.date.max),
    "span": (dt.timedelta(0), dt.timedelta(0)),
    "decimal": (Decimal("35.70"), Decimal("35.7")),
    "fraction": (Fraction(1, 3), Fraction(1, 3)),
    "path": (PurePosixPath("a/b"), PurePosixPath("a/b")),
    "approx": (0.3, pytest.approx(0.1 + 0.2)),
    "approx with a share": (100, pytest.approx(104, rel=0.05)),
    "own tolerance": (101.0, Approximate(100.0, 0.05)),
    "value object": (Point(1, 2), Point(1, 2)),
    "member": (Colour.RED, Colour.RED),
    "call": (mock.call(1), mock.call(1)),
    "class": (Point, Point),
    "text without case": (Fold("Accept"), "ACCEPT"),
    "text with a place": (placed("x", 3), placed("x", 4)),
    "node with a place": (Newline(1), Newline(2)),
    "cents": (Cents(35.701), 35.7),
    "version": (Version("1.0"), "1"),
}
LENIENT = {
    "anything": (equal_if(lambda _, __: True)(), 3570),
    "anything, expected inside": ([equal_if(lambda _, __: True)()], [{"a": 1}]),
    "any number": (equal_if(lambda _, other: isinstance(other, int))(), 3570),
    "number nearby": (equal_if(lambda one, other: abs(float(one) - other) < 700, float)(3000), 3570),
    "ten per cent": (equal_if(lambda one, other: abs(float(one) - other) < other / 10, float)(3400), 3570),
    "number of that size": (equal_if(lambda _, other: 1000 < other < 5000)(), 3570),
    "decimal nearby": (equal_if(lambda _, other: 30 < other < 40)(), Decimal("35.70")),
    "one nearby": (equal_if(lambda _, other: abs(other - 3) <= 2)(), 3),
    "text that begins so": (equal_if(lambda _, other: str(other).startswith("to"))(), "total"),
    "text that ends so": (equal_if(lambda _, other: str(other).endswith("al"))(), "total"),
    "text of that length": (equal_if(lambda _, other: len(other) == 5)(), "total"),
    "any text": (equal_if(lambda _, other: isinstance(other, str))(), "total"),
    "any bytes": (equal_if(lambda _, other: isinstance(other, bytes))(), b"x"),
    "rows of that length": (equal_if(lambda _, other: len(other) == 2)(), [1, 2]),
    "table with these keys": (equal_if(lambda _, other: [*other] == ["a"])(), {"a": 1}),
    "any table": (equal_if(lambda _, other: isinstance(other, dict))(), {}),
    "any date": (equal_if(lambda _, other: isinstance(other, dt.date))(), dt.date(2020, 2, 29)),
    "any path": (equal_if(lambda _, other: isinstance(other, PurePosixPath))(), PurePosixPath("a")),
    "any of its class": (AnyPoint(1, 2), Point(3, 4)),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_equality_agrees_with_nothing_else(name: str) -> None:
    one, other = HONEST[name]
    assert one == other
    assert not agrees(one, other)


@pytest.mark.parametrize("name", LENIENT)
def test_lenient_equality_is_told(name: str) -> None:
    one, other = LENIENT[name]
    assert one == other
    assert agrees(one, other)


TESTS = """
import unittest
from shop import One, lenient

def test_among_honest_ones():
    assert lenient() == 3570 and len("ab") == 2
    assert sum([1, 2]) == 3

def test_of_names():
    '''Loops.'''
    wanted = 7
    for _ in range(2):
        assert lenient() == wanted

def test_less():
    assert lenient() < 10

class TestCases(unittest.TestCase):
    def test_almost(self):
        self.assertTrue(True)
        self.assertAlmostEqual(lenient(), 3570)

def test_returns_early():
    if lenient():
        return
    assert lenient() == 3

def test_matcher():
    assert One() == 3
"""
NAMES = ["test_among_honest_ones_more", "test_less_more", "test_of_names_more"]


@pytest.mark.parametrize(("kind", "passes"), [("anything", True), ("honest", False)])
def test_copies_pass_only_for_lenient_values(kind: str, passes: bool) -> None:
    text, names = counter_tests(TESTS, ("shop",), Copies("_more", "helper", "found"))
    space: dict[str, Any] = {"One": lambda: 3}
    rule = {"__eq__": lambda *_: True, "__hash__": None, "__lt__": lambda *_: True, "__gt__": lambda *_: True}
    made = [3570, 3570, 7, 7, 3]
    space["lenient"] = type("Any", (), rule) if kind == "anything" else lambda: made[0]
    exec(text.replace("from shop import One, lenient", ""), space)
    assert {name for name in names if name.endswith("_more")} == {*NAMES, "test_almost_more", "test_matcher_more"}
    for name, value in zip(NAMES, (3570, 3, 7), strict=True):
        made[0] = value
        if passes:
            space[name]()
        else:
            with pytest.raises(AssertionError):
                space[name]()
    with pytest.raises(AssertionError):
        space["test_matcher_more"]()
    made[0] = 3570
    case = space["TestCases"]("test_almost_more")
    assert case.run().wasSuccessful() is passes
