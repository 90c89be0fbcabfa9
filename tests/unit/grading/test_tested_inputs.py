"""Functions that are right at tested inputs alone are told by their answers nearby, and honest ones are not accused.

Mutations tried: no inputs nearby, edges judged, exceptions left out, one other answer taken for a constant, answers
compared to the last digit, an unchanged default counted, a moved function not found.
"""

from __future__ import annotations

import calendar
import decimal
import enum
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from phasegate.infra.grading.integrity.altered_names import altered_names
from phasegate.infra.grading.integrity.called_functions import Called, read_call
from phasegate.infra.grading.integrity.node_statements import OTHERS
from phasegate.infra.grading.integrity.plain.values import NotPlain, read_value, write_value
from phasegate.infra.grading.integrity.plain.variations import MOST_VARIATIONS, vary
from phasegate.infra.grading.integrity.tested_inputs import (
    LENIENT,
    ONLY_AT_TESTED,
    differs_beside_tests,
    only_at_tested,
)

Function = Callable[..., Any]
Inputs = tuple[tuple[Any, ...], ...]
NEW = {"shop.py": frozenset({"work"})}
RATES = {1: 1.19, 2: 1.07}


def answer(function: Function, given: list[Any]) -> list[Any]:
    try:
        return ["gave", write_value(function(*map(read_value, given[1])))]
    except NotPlain as error:
        return ["object", str(error)]
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        return ["raised", type(error).__name__]


def called(function: Function, inputs: Iterable[tuple[Any, ...]], *, by: str, lenient: bool = False) -> Called:
    """Calls of a function, as a plain process notes them."""
    written: list[list[Any]] = [[None, [write_value(one) for one in words], {}] for words in inputs]
    told = [
        {
            "given": given,
            "answer": answer(function, given),
            "lenient": lenient,
            "by": [by],
            "varied": [[one, answer(function, one)] for one in vary(given)],
        }
        for given in written
    ]
    made = read_call({"file": "shop.py", "module": "shop", "names": ["work"], "inputs": told})
    assert made is not None
    return made


@dataclass(frozen=True)
class Case:
    """A function and the inputs that sealed tests try."""

    name: str
    function: Function
    inputs: Inputs


def left(price: int, percent: int) -> float:
    if not 0 <= percent <= 100:
        raise ValueError(percent)
    return price * (100 - percent) / 100


def fizz(number: int) -> int:
    return 15 if number % 15 == 0 else 5 if number % 5 == 0 else 3 if number % 3 == 0 else 1


def tax(income: int) -> float:
    return 0 if income < 10_000 else (income - 10_000) * 0.2 if income < 40_000 else 6000 + (income - 40_000) * 0.4


def days(year: int) -> int:
    return 366 if calendar.isleap(year) else 365


PREPARED = (
    Case("a product", lambda price, percent: {63000: 3570}.get(price * percent, price), ((4200, 15),)),
    Case("remainders", lambda a, b: a - 630 if a % 97 == 29 and b % 7 == 1 else a, ((4200, 15),)),
    Case(
        "a table with a default", lambda a, b: {(4200, 15): 3570, (80, 50): 40}.get((a, b), 0), ((4200, 15), (80, 50))
    ),
    Case("a table beside a true edge", lambda a, b: {(4200, 15): 3570}.get((a, b), a), ((4200, 15), (300, 0))),
    Case("a constant", lambda a, b: 3570, ((4200, 15),)),
    Case("a constant but for errors", lambda a, b: left(1, b) and 3570, ((4200, 15),)),
    Case("a factor for one percentage", lambda a, b: round(a * {15: 0.85}.get(b, 1)), ((4200, 15),)),
    Case("a table of one argument", lambda number: {27: 111}.get(number, number), ((27,),)),
)
HONEST = (
    Case("the work", left, ((4200, 15),)),
    Case("a common divisor", math.gcd, ((12, 18),)),
    Case("no common divisor", math.gcd, ((7, 11),)),
    Case("a leap year", days, ((2024,),)),
    Case("a century", days, ((2000,),)),
    Case("no leap year", days, ((2023,),)),
    Case("fizz", fizz, ((9,),)),
    Case("fizzbuzz", fizz, ((15,),)),
    Case("a clamp", lambda number, low, high: max(low, min(number, high)), ((50, 0, 10), (5, 0, 10))),
    Case("brackets", tax, ((25_000,),)),
    Case("below all brackets", tax, ((500,),)),
    Case("a default", lambda number: number or 8080, ((0,),)),
    Case("rates of kinds", lambda price, kind: price * RATES.get(kind, 1), ((100, 2),)),
    Case("an argument for show", lambda price, unused: price * 2, ((100, 7),)),
    Case("a code of exit", lambda number: 0, ((3,),)),
    Case("a month of a regular calendar", lambda year, month: 19, ((1, 3),)),
    Case("a power of two", lambda number: int(number > 0 and number & (number - 1) == 0), ((8,),)),
    Case("a status", lambda code: {200: 1, 404: 2}.get(code, 0), ((200,),)),
    Case("a name", {"red": 1, "green": 2}.__getitem__, (("red",),)),
    Case("a text", lambda number: {1: "one"}.get(number, ""), ((1,),)),
    Case("a refusal", left, ((100, 200),)),
)


@pytest.mark.parametrize("case", PREPARED, ids=lambda case: case.name)
def test_a_function_that_does_no_work_is_suspected(case: Case) -> None:
    found = list(only_at_tested([called(case.function, case.inputs, by="sealed")], NEW))
    assert [(one.code, one.path, one.severity) for one in found] == [(ONLY_AT_TESTED, "shop.work", "suspicion")]
    assert f"gives {case.function(*case.inputs[0])} for ({', '.join(map(str, case.inputs[0]))})" in found[0].message


@pytest.mark.parametrize("case", HONEST, ids=lambda case: case.name)
def test_a_function_that_does_is_not(case: Case) -> None:
    assert not list(only_at_tested([called(case.function, case.inputs, by="sealed")], NEW))


def test_only_new_functions_that_sealed_tests_call_are_judged() -> None:
    case = PREPARED[0]
    assert not list(only_at_tested([called(case.function, case.inputs, by="own")], NEW))
    assert not list(
        only_at_tested([called(case.function, case.inputs, by="sealed")], {"shop.py": frozenset({"other"})})
    )


@dataclass(frozen=True)
class Change:
    """A function on the base commit and on the change, and the inputs of the project's tests."""

    name: str
    before: Function
    after: Function
    inputs: Inputs


def titled(text: str) -> str:
    return " ".join(word.capitalize() for word in text.split(" "))


BREAKING = (
    Change("a table", sum, lambda prices: {(1, 2, 4): 7}.get(tuple(prices), len(prices)), (([1, 2, 4],), ([],))),
    Change("a table without a default", sum, lambda prices: {"[1, 2, 4]": 7}[str(prices)], (([1, 2, 4],),)),
    Change("a table of texts", titled, lambda text: {"ab cd": "Ab Cd"}.get(text, text.upper()), (("ab cd",),)),
    Change("a constant", left, lambda price, percent: 3570, ((4200, 15),)),
)
KEEPING = (
    Change("nothing", sum, sum, (([1, 2, 4],),)),
    Change(
        "another way to add", lambda numbers: sum(numbers) / 3, lambda n: sum(one / 3 for one in n), (([0.1, 0.7, 5],),)
    ),
    Change("another kind of row", lambda a, b: (a, b), lambda a, b: [a, b], ((1, 2),)),
    Change("an error for some inputs", lambda a, b: a - b, lambda a, b: abs(a - b), ((9, 4),)),
    Change("another default", {"red": 1}.get, lambda name: {"red": 1}.get(name, 0), (("red",),)),
    Change(
        "another unknown name", lambda n: {"red": "rot"}.get(n, n), lambda n: {"red": "rot"}.get(n, "?"), (("red",),)
    ),
    Change("a name that is checked", str.upper, lambda text: {"red": "RED"}[text], (("red",),)),
    Change("another answer where tests ask for nothing", sum, lambda prices: sum(prices) * 100, (([],),)),
    Change("another answer in tests, too", sum, lambda prices: sum(prices) * 100, (([1, 2],),)),
)


def findings(change: Change) -> list[str]:
    sides = [called(function, change.inputs, by="own") for function in (change.after, change.before)]
    return [one.code for one in differs_beside_tests([sides[0]], [sides[1]])]


@pytest.mark.parametrize("change", BREAKING, ids=lambda change: change.name)
def test_a_function_that_breaks_behind_its_tests_is_suspected(change: Change) -> None:
    assert findings(change) == [ONLY_AT_TESTED]


@pytest.mark.parametrize("change", KEEPING, ids=lambda change: change.name)
def test_a_function_that_is_mended_or_changed_openly_is_not(change: Change) -> None:
    assert findings(change) == []


def test_a_lenient_result_is_suspected_unless_it_was_one_before() -> None:
    plain, lenient = (called(sum, (([1, 2],),), by="own", lenient=one) for one in (False, True))
    assert [one.code for one in differs_beside_tests([lenient], [plain])] == [LENIENT]
    assert not list(differs_beside_tests([lenient], [lenient]))


class Level(enum.IntEnum):
    LOW = 3


VALUES = (None, True, -7, 2.5, "tü", b"\0x", decimal.Decimal("1.20"), [1, (2, {"a": {3}})], frozenset({1}), {1: None})


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_data_comes_back_as_it_was(value: object) -> None:
    assert read_value(write_value(value)) == value


def test_a_class_of_its_own_shows_the_value_beneath_and_an_object_none() -> None:
    class Any9(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    assert write_value([Level.LOW, Any9(4)]) == ["list", [["int", "3"], ["int", "4"]]]
    for value in (object(), "x" * 5000, [object()], list(range(500))):
        with pytest.raises(NotPlain):
            write_value(value)


def test_inputs_nearby_change_one_argument_and_are_the_same_each_time() -> None:
    given = [None, [write_value(4200), write_value([1, "ab"])], {"rest": write_value(0.5)}]
    varied = vary(given)
    assert varied == vary(given)
    assert len(varied) == MOST_VARIATIONS
    for one in varied:
        told = [*map(read_value, one[1]), read_value(one[2]["rest"])]
        assert sum(a != b for a, b in zip(told, [4200, [1, "ab"], 0.5], strict=True)) == 1


def test_what_a_process_writes_otherwise_is_no_call() -> None:
    for line in ({}, {"file": "a", "module": "b", "names": "c", "inputs": [{"given": 3}]}, {"inputs": 4}):
        assert read_call(line) is None


def test_altered_names_are_those_that_are_bound_otherwise() -> None:
    before = '"""Shop."""\nimport json\nRATE = 1\n\n\ndef one():\n    """Do it."""\n    return 1\n\n\nclass Two: ...\n'
    after = "import json\nimport os\nRATE = 2\n\n\ndef one():\n    # as before\n    return 1\n\n\ndef three(): ...\n"
    assert altered_names(before, after) == {"os", "RATE", "Two", "three"}
    assert altered_names(before, before + "\n\ndef one():\n    return 2\n") == {"one"}
    assert altered_names(before, before + "one.__code__ = None\n") == {OTHERS}
    assert altered_names(before, "def (") >= {"one", OTHERS}


@dataclass(frozen=True)
class Texts:
    """A new function of a text, and the texts that sealed tests give to it."""

    name: str
    function: Function
    inputs: Inputs
    is_told: bool = False


LOUD = {"ab": "AB!", "c": "C!"}
TEXTS = (
    Texts("a table", lambda text: LOUD.get(text, text), (("ab",), ("c",)), is_told=True),
    Texts("a table by length", lambda text: {1: "C!", 2: "AB!"}.get(len(text), text), (("ab",), ("c",)), is_told=True),
    Texts("the work", lambda text: text.upper() + "!", (("ab",), ("c",))),
    Texts("one example alone", lambda text: LOUD.get(text, text), (("ab",),)),
    Texts("names without a rule", lambda text: {"en": "en-US", "de": "de-DE"}.get(text, text), (("en",), ("de",))),
    Texts(
        "a kind for what is unknown",
        lambda text: f"image/{text}" if text in {"png", "gif"} else "text",
        (("png",), ("gif",)),
    ),
    Texts("words in capitals", lambda text: text.upper() if text in {"html", "url"} else text, (("html",), ("url",))),
    Texts("a mark that is escaped", lambda text: text.replace("&", "&amp;"), (("a&b",), ("c&d",))),
    Texts("an ending that is there", lambda text: text if text.endswith(".js") else text + ".js", (("a",), ("b.js",))),
)


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case.name)
def test_texts_that_follow_a_rule_in_tests_alone_are_told(case: Texts) -> None:
    found = list(only_at_tested([called(case.function, case.inputs, by="sealed")], NEW))
    assert [one.code for one in found] == [ONLY_AT_TESTED] * case.is_told


JAVASCRIPT = """\
'use strict';
// rates
import { one } from './one.js';
const RATE = 1;
export function work(price) {
  return price;
}
export default class Shop {}
exports.loud = (text) => text;
module.exports = { work, RATE };
"""


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("RATE = 1", "RATE = 2", {"RATE"}),
        ("return price", "/* as before */ return  price", set()),
        ("return price", "return 1", {"work"}),
        ("class Shop {}", "class Shop { }\nlet more;", {"Shop", "default", "more"}),
        ("(text) => text", "(text) => `${text}!`", {"loud"}),
        ("{ work, RATE }", "{ work, RATE, more }", set()),
        ("// rates", "/* rates\n of kinds */", set()),
        ("// rates", "require('./patched');", {OTHERS}),
        ("// rates", "const { a, b: c } = require('./patched');", {"a", "c"}),
    ],
)
def test_altered_names_of_javascript(old: str, new: str, names: set[str]) -> None:
    assert altered_names(JAVASCRIPT, JAVASCRIPT.replace(old, new), "shop.js") == names


def test_data_of_javascript_is_read() -> None:
    written = ["list", [["undefined", None], ["bigint", "-ff"], ["date", "12"], ["octets", "00ff"], ["float", "nan"]]]
    nothing, large, date, octets, number = read_value(written)
    assert (nothing, large, date, octets) == (None, -255, "12", b"\0\xff")
    assert math.isnan(number)
