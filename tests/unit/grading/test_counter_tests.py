from __future__ import annotations

import pytest

from phasegate.infra.grading.counter_tests import counter_tests


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("assert f(1) == 'a'", "assert f(1) == 'ak'"),
        ("assert f(1) == 2", "assert f(1) == 7349983"),
        ("assert 2 == f(1)", "assert 7349983 == f(1)"),
        ("assert f(1) == [1]", "assert f(1) == object()"),
        ("assert f(1) == True", "assert f(1) == object()"),
        ("assert 'a' in f(1)", "assert 'ak' in f(1)"),
        ("assert f(1) < 2", "assert not f(1) < 2"),
        ("assert f(1)", "assert not f(1)"),
    ],
)
def test_an_expectation_made_wrong(statement: str, expected: str) -> None:
    made, names = counter_tests(f"def test_one():\n    {statement}\n", "k")
    assert made == f"def test_one():\n    {expected}\n"
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
    assert counter_tests(f"def test_one():\n{body}", "k")[1] == frozenset()


def test_a_file_that_is_no_python_has_none() -> None:
    assert counter_tests("def (", "k") == ("", frozenset())
