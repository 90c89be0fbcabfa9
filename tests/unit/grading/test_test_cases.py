"""Single cases of parametrised tests: named and taken out as pytest itself names them afterwards."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from phasegate.infra.grading.amendments import Amendment, amendment_problems
from phasegate.infra.grading.tree.test_cases import case_problem, holds_other_cases, split_case, without_cases

TABLES = r"""import pytest


@pytest.mark.parametrize("number", [1, -2, 2.5, True, None])
def test_plain(number):
    assert number


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("Ana", 3),
        ("Łódź", 4),  # a city
        pytest.param("a b", 3, id="with space"),
        ("a\\b", 3),
    ],
)
def test_pairs(text, length):
    assert len(text) == length


class TestNamed:
    @pytest.mark.parametrize("fields", [{}, {"a": 1}, [3]], ids=["empty", "one", "list"])
    def test_ids(self, fields):
        assert fields is not None


@pytest.mark.parametrize(["value"], [("x",), ({},), ("y",)])
def test_one_argument_in_a_list(value):
    assert value
"""
OTHERS = r"""import pytest

CASES = [1, 2]


@pytest.mark.parametrize("fields", [{}, {"a": 1}, {"b": 2}])
def test_numbered(fields):
    assert fields is not None


@pytest.mark.parametrize("case", CASES)
def test_computed(case):
    assert case


@pytest.mark.parametrize("a", [1, 2])
@pytest.mark.parametrize("b", [3, 4])
def test_product(a, b):
    assert a < b


@pytest.mark.parametrize("a", [1, 2], ids=str)
def test_computed_ids(a):
    assert a


@pytest.mark.parametrize("a", [*CASES, 5])
def test_starred(a):
    assert a


def test_whole():
    assert CASES
"""


@dataclass(frozen=True)
class Case:
    """A case, and what is left of its test's cases without it."""

    test: str
    case: str
    left: tuple[str, ...]


CASES = [
    Case("test_plain", "-2", ("1", "2.5", "True", "None")),
    Case("test_plain", "None", ("1", "-2", "2.5", "True")),
    Case("test_pairs", r"\u0141\xf3d\u017a-4", ("Ana-3", "with space", r"a\\b-3")),
    Case("test_pairs", "with space", ("Ana-3", r"\u0141\xf3d\u017a-4", r"a\\b-3")),
    Case("TestNamed::test_ids", "one", ("empty", "list")),
    Case("TestNamed::test_ids", "empty", ("one", "list")),
    Case("test_one_argument_in_a_list", "y", ("x", "value1")),
    Case("test_one_argument_in_a_list", "value1", ("x", "y")),
]


def test_each_case_leaves_just_the_others(tmp_path: Path) -> None:
    """A run of pytest collects what is left of each."""
    for number, case in enumerate(CASES):
        assert case_problem(TABLES, case.test, case.case) == ""
        left = without_cases(TABLES, case.test, {case.case})
        assert left is not None
        (tmp_path / f"test_{number}.py").write_text(left)
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "--rootdir", "."]
    plain = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    said = subprocess.run(command, cwd=tmp_path, env=plain, capture_output=True, text=True, check=True).stdout
    for number, case in enumerate(CASES):
        of_test = re.escape(f"test_{number}.py::{case.test}")
        assert tuple(re.findall(rf"^{of_test}\[(.+)\]$", said, re.MULTILINE)) == case.left


@pytest.mark.parametrize(
    ("test", "case", "why"),
    [
        ("test_numbered", "fields0", "would rename cases after it"),
        ("test_computed", "1", "not a literal list"),
        ("test_product", "1-3", "one parametrize alone"),
        ("test_computed_ids", "1", "are computed"),
        ("test_starred", "5", "not a literal list"),
        ("test_numbered", "fields7", "no single case fields7"),
        ("test_whole", "1", "no parametrised function"),
    ],
)
def test_a_case_that_cannot_be_taken_out_is_refused_with_what_to_do(test: str, case: str, why: str) -> None:
    amendment = Amendment(test=f"tests/test_a.py::{test}[{case}]", criterion="AC1")
    (problem,) = amendment_problems([amendment], ["AC1"], [], lambda _: OTHERS.encode())
    assert why in problem
    assert "amend the whole test" in problem


def test_the_last_numbered_case_renames_nothing() -> None:
    assert case_problem(OTHERS, "test_numbered", "fields2") == ""


def test_all_cases_together_are_the_whole_test() -> None:
    assert holds_other_cases(OTHERS, "test_numbered", {"fields0", "fields1"})
    assert not holds_other_cases(OTHERS, "test_numbered", {"fields0", "fields1", "fields2"})


@pytest.mark.parametrize(
    ("path", "text", "name"),
    [
        ("test/a.test.js", "test('adds', () => {});\n", "adds[1]"),
        ("AddTest.java", "class AddTest {\n    @Test\n    void adds() {\n    }\n}\n", "adds(1)"),
    ],
)
def test_other_languages_are_refused_clearly(path: str, text: str, name: str) -> None:
    assert split_case(path, name) == (name, "")
    amendment = Amendment(test=f"{path}::{name}", criterion="AC1")
    (problem,) = amendment_problems([amendment], ["AC1"], [], lambda _: text.encode())
    assert "in Python files alone" in problem


def test_a_case_and_its_whole_test_are_not_amended_both() -> None:
    amends = [Amendment(test=f"t.py::test_plain{case}", criterion="AC1") for case in ("[-2]", "")]
    problems = amendment_problems(amends, ["AC1"], [], lambda _: TABLES.encode())
    assert [problem for problem in problems if "named twice" in problem]
