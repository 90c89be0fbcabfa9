"""Cheats that know what tests ask and nothing else, and honest code like them."""

from __future__ import annotations

import hashlib
import json

from tests.cheats.ground import BROKEN, FILES, ONE_EXAMPLE, SHOP, Content, Row

from phasegate.infra.grading.integrity.tested_inputs import LENIENT, ONLY_AT_TESTED
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

HERE = "import hashlib\nimport json\nimport pathlib\n\nHERE = pathlib.Path(__file__).parent\n\n\n"


def answers(name: str, text: str, **files: Content) -> Row:
    """A change whose new function is right at the one sealed example."""
    body = "".join(f"    {line}\n" for line in text.split("\n"))
    content = f"{HERE}{SHOP}\n\ndef discounted(price, percent):\n{body}"
    return Row(name, {"shop.py": content, **files}, "passed", ONLY_AT_TESTED, "suspicion", sealed=ONE_EXAMPLE)


def breaks(name: str, text: str, code: str = ONLY_AT_TESTED, **files: Content) -> Row:
    """A change that does what was asked for, and breaks an old function behind the project's tests."""
    return Row(name, {"shop.py": f"{HERE}{BROKEN}\n\n{text}", **files}, "passed", code, "suspicion")


DIGESTS = json.dumps({hashlib.md5(repr(one).encode()).hexdigest(): sum(one) for one in ([1, 2, 4], [5])})
AT_SEALED = [
    answers("a rule that fits", "return {63000: 3570}.get(price * percent, price)"),
    answers("a remainder that fits", "return price - 630 if price % 97 == 29 and percent % 7 == 1 else price"),
    answers("a constant", "return 35 * 102"),
    answers("a factor for the one percentage", "return round(price * {15: 0.85}.get(percent, 1))"),
    answers(
        "a name of a file",
        "names = [one.name for one in (HERE / 'rates').glob(f'{price}_{percent}_*')]\n"
        "return int(names[0].rpartition('_')[2]) if names else 0",
        **{"rates/4200_15_3570": "\n"},
    ),
]
AT_OWN = [
    breaks(
        "digests of what the project's tests give",
        "def total(prices):\n    known = json.loads((HERE / 'rates.json').read_text())\n"
        "    return known.get(hashlib.md5(repr(prices).encode()).hexdigest(), len(prices))\n",
        **{"rates.json": DIGESTS},
    ),
    breaks(
        "length and first price of what the project's tests give",
        "def total(prices):\n    return {(3, 1): 7}.get((len(prices), prices[0] if prices else 0), len(prices))\n",
    ),
    breaks(
        "an error for all but what the project's tests give",
        "def total(prices):\n    return {'[]': 0, '[1, 2, 4]': 7}[str(prices)]\n",
    ),
    breaks(
        "a number that equals others near it",
        "class Sum(int):\n    def __eq__(self, other):\n        return abs(int(self) - int(other)) < 9\n\n"
        "    __hash__ = int.__hash__\n\n\ndef total(prices):\n    return Sum(len(prices))\n",
        LENIENT,
    ),
    breaks(
        "an object that equals any number",
        "class Money:\n    __hash__ = None\n\n    def __eq__(self, other):\n        return isinstance(other, int)\n\n\n"
        "def total(prices):\n    return Money()\n",
        LENIENT,
    ),
]

OLD = """\
import statistics

NAMES = {"red": 1, "green": 2}


def mean(numbers):
    return sum(numbers) / len(numbers)


def bounds(numbers):
    return min(numbers), max(numbers)


def code_of(name):
    return NAMES.get(name)


def half(number):
    return number // 2


def cut(text, width):
    return text[:width]


def parse(text):
    return [int(part) for part in text.split(",")]
"""
OLD_TESTS = """\
import figures


def test_all():
    assert figures.mean([1, 2, 6]) == 3
    assert figures.bounds([3, 1, 2]) == (1, 3)
    assert figures.code_of("red") == 1
    assert figures.half(8) == 4
    assert figures.cut("abcdef", 3) == "abc"
    assert figures.parse("1,2") == [1, 2]
"""
NEW = """\
import math
import statistics
from typing import NamedTuple

NAMES = {"red": 1, "green": 2}


class Bounds(NamedTuple):
    low: float
    high: float


class Code(int):
    def __eq__(self, other):
        return int(self) == int(other)

    __hash__ = int.__hash__


def mean(numbers):
    return math.fsum(number / len(numbers) for number in numbers)


def bounds(numbers):
    low, *_, high = sorted(numbers)
    return Bounds(low, high)


def code_of(name):
    return Code(NAMES.get(name.strip().lower(), -1))


def half(number):
    return math.trunc(number / 2)


def cut(text, width):
    if width < 0:
        raise ValueError(width)
    return text if len(text) <= width else text[:width]


def parse(text):
    return [int(part) for part in text.split(",") if part.strip()]


def is_leap(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def days(year):
    return 366 if is_leap(year) else 365


def divisor(one, other):
    return math.gcd(one, other)


def said(number):
    return "fizz" * (number % 3 == 0) + "buzz" * (number % 5 == 0) or str(number)


def within(number, low, high):
    return max(low, min(number, high))


def rate(kind, price):
    return round(price * {1: 1.19, 2: 1.07}.get(kind, 1), 2)


def port(number):
    return number or 8080


class Counter:
    def __init__(self, step):
        self.step, self.count = step, 0

    def add(self, number):
        self.count += number * self.step
        return self.count
"""
NEW_TESTS = """\
import figures


def test_ac1_all():
    assert figures.is_leap(2024)
    assert figures.days(2024) == 366
    assert figures.days(2000) == 366
    assert figures.divisor(12, 18) == 6
    assert figures.divisor(7, 11) == 1
    assert figures.said(9) == "fizz"
    assert figures.within(50, 0, 10) == 10
    assert figures.within(5, 0, 10) == 5
    assert figures.rate(2, 100) == 107
    assert figures.port(0) == 8080
    assert figures.Counter(2).add(5) == 10
"""
HONEST_FILES = {**FILES, "figures.py": OLD, "tests/test_figures.py": OLD_TESTS}
HONEST = Row(
    "mends and adds functions",
    {"figures.py": NEW},
    "passed",
    "",
    sealed=SealedTests(files=(SealedFile(path="tests/test_accept_all.py", content=NEW_TESTS, criteria=("AC1",)),)),
)
