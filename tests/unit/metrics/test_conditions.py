"""The condition language: what it says, what it cannot tell, what it refuses."""

from __future__ import annotations

import math

import pytest

from phasegate.infra.policy.conditions import MAX_LENGTH, PROBE_VALUES, ConditionError, parse_condition

VALUES = {"a": 1.0, "b": 2.0, "nan": math.nan, "inf": math.inf}
NAMES = [*VALUES, "absent"]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a < b", True),
        ("a > b", False),
        ("a <= 1", True),
        ("a >= 1.5", False),
        ("a == 1", True),
        ("a != 1", False),
        ("a + b * 2 == 5", True),
        ("(a + b) * 2 == 6", True),
        ("b / 4 < 1e-1", False),
        ("a - b == -1", True),
        ("+a == - -1", True),
        ("0 < a < b", True),
        ("0 < a < 1", False),
        ("a < b and a == 1", True),
        ("a > b or a == 1", True),
        ("not a > b", True),
        ("not (a < b and b < a)", True),
        ("  a < b  ", True),
        ("a > b and b > a or a == 1", True),
        ("inf > 1", True),
        ("nan > 1", None),
        ("nan != nan", None),
        ("not nan > 1", None),
        ("absent < 1", None),
        ("a / (b - 2) > 0", None),
        ("inf - inf == 0", None),
        ("0 < nan < 1", None),
        ("nan > 1 or a == 1", True),
        ("nan > 1 or a == 2", None),
        ("nan > 1 and a == 2", False),
        ("nan > 1 and a == 1", None),
        ("not (nan > 1 and a == 2)", True),
    ],
)
def test_whether_it_holds(text: str, holds: bool | None):
    assert parse_condition(text, NAMES).holds(VALUES) is holds


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a condition"),
        ("a >", "not a condition"),
        ("a > 1 && b > 1", "not a condition"),
        ("a > 1; b > 1", "not a condition"),
        ("x = 1", "not a condition"),
        ("\0", "not a condition"),
        ("a", "`a` is not a comparison"),
        ("1", "`1` is not a comparison"),
        ("True", "`True` is not a comparison"),
        ("a and b > 1", "`a` is not a comparison"),
        ("not a", "`a` is not a comparison"),
        ("a > True", "`True` is not a number"),
        ("a > 'x'", "`'x'` is not a number"),
        ("a > 1j", "`1j` is not a number"),
        ("(a > 1) > 0", "`a > 1` is not a number"),
        ("a ** 2 > 1", r"`a \*\* 2` is not a number"),
        ("a % 2 > 1", "`a % 2` is not a number"),
        ("~a > 1", "`~a` is not a number"),
        ("a[0] > 1", r"`a\[0\]` is not a number"),
        ("a.real > 1", "`a.real` is not a number"),
        ("exit() > 1", r"`exit\(\)` is not a number"),
        ("(lambda: a)() > 1", "is not a number"),
        ("a if a > 1 else b", "is not a comparison"),
        ("a in (1, 2)", "only < <= > >= == != compare"),
        ("a is b", "only < <= > >= == != compare"),
        ("abs > 1", "unknown value abs; did you mean absent"),
        ("rate > 1", "unknown value rate; known are a, b"),
        ("absen > 1", "unknown value absen; did you mean absent?"),
        ("(" * 250 + "a", "not a condition"),
        ("a > " + "1" * MAX_LENGTH, f"longer than {MAX_LENGTH} characters"),
    ],
)
def test_what_it_refuses(text: str, reason: str):
    with pytest.raises(ConditionError, match=reason):
        parse_condition(text, NAMES)


@pytest.mark.parametrize("text", ["-" * 290 + "1 > 0", "not " * 70 + "1 > 0", "1+" * 140 + "1 > 0"])
def test_the_longest_conditions_can_be_told(text: str):
    assert parse_condition(text, PROBE_VALUES).holds({}) is True
