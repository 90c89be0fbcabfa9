from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from phasegate.infra.grading.integrity.canary_python import python_canary
from phasegate.infra.grading.integrity.counter_tests import counter_tests


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("assert f(1) == 'a'", r"assert f\(1\) == 'a[a-z]{8}'"),
        ("assert f(1) == 4200", r"assert f\(1\) == (?!4200$)\d{4}"),
        ("assert 2 == f(1)", r"assert (?!2 )\d+ == f\(1\)"),
        ("assert f(1) == [1]", r"assert f\(1\) == \[1, '[a-z]{8}'\]"),
        ("assert f(1) == True", r"assert f\(1\) == object\(\)"),
        ("assert 'a' in f(1)", r"assert 'a[a-z]{8}' in f\(1\)"),
        ("assert f(1) < 2", r"assert not f\(1\) < 2"),
        ("assert f(1)", r"assert not f\(1\)"),
    ],
)
def test_an_expectation_made_wrong(statement: str, expected: str) -> None:
    made, names = counter_tests(f"def test_one():\n    {statement}\n")
    assert re.fullmatch(expected, made.splitlines()[1].strip())
    assert names == {"test_one"}


@pytest.mark.parametrize(
    "body",
    [
        "    with pytest.raises(ValueError):\n        f()\n",
        "    for x in f():\n        assert x\n",
        "    try:\n        f()\n        assert False\n    except ValueError:\n        pass\n",
        "    if f():\n        return\n    assert g() == 1\n",
    ],
)
def test_what_a_passing_test_may_not_have_been_through_is_left_alone(body: str) -> None:
    assert counter_tests(f"def test_one():\n{body}")[1] == frozenset()


def test_a_file_that_is_no_python_has_none() -> None:
    assert counter_tests("def (") == ("", frozenset())


@pytest.mark.parametrize(
    "source",
    [
        "import this_is_nowhere\n\n\ndef test_one():\n    assert int('1') == 1\n",
        "def test_one(fixture):\n    pass\n",
        "def (",
        "from unittest.mock import ANY\n\n\ndef test_one():\n    assert ANY == 1\n",
    ],
)
def test_a_canary_fails_whatever_is_under_test(source: str) -> None:
    text, name = python_canary(source, "twice")
    assert name.endswith("_twice")
    names: dict[str, Callable[[], None]] = {}
    exec(compile(text, "canary", "exec"), names)
    with pytest.raises((AssertionError, ImportError)):
        names[name]()


@pytest.mark.parametrize(
    ("source", "believed", "expected"),
    [
        ("from shop import Any\n\n\ndef test_one():\n    assert Any() == 3\n", (), r"assert not Any\(\) == 3"),
        ("from shop import Any\n\n\ndef test_one():\n    assert Any() == 3\n", ("shop",), r"assert Any\(\) == \d+"),
        ("import shop\n\n\ndef test_one():\n    assert shop.Any() == 3\n", ("shop",), r"assert shop\.Any\(\) == \d+"),
        ("from mock import ANY\n\n\ndef test_one():\n    assert ANY == 3\n", ("shop",), r"assert not ANY == 3"),
        (
            "from shop import Any\n\n\ndef test_one():\n    assert 'a' in [Any()]\n",
            (),
            r"assert not 'a' in \[Any\(\)\]",
        ),
    ],
)
def test_a_matcher_is_believed_where_one_is_asked_for(source: str, believed: tuple[str, ...], expected: str) -> None:
    made, _ = counter_tests(source, believed)
    assert re.fullmatch(expected, made.splitlines()[-1].strip())
