"""Variables of a test command are read as a shell would, unless the shell works them out.

Mutations tried: words behind a program taken for assignments; sources not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from phasegate.infra.grading.integrity.command_variables import command_variables, unread_variables


@dataclass(frozen=True)
class Case:
    """A test command and its variables."""

    command: str
    variables: dict[str, str]


CASES = (
    Case("pytest --junitxml={junit}", {}),
    Case("NODE_ENV=test mocha A=1", {"NODE_ENV": "test"}),
    Case("A='1 2' B= python -m pytest", {"A": "1 2", "B": ""}),
    Case("cd app && C=3 go test ./... ; D=4 true", {"C": "3", "D": "4"}),
    Case("env E=5 npx cross-env F=6 jest", {"E": "5", "F": "6"}),
    Case("PATH=$PWD/bin:$PATH G=`id` H=7 x", {"H": "7"}),
    Case("PYTHONWARNINGS=error NODE_OPTIONS=--x PYTHONPATH=src pytest", {"PYTHONPATH": "src"}),
    Case("I=8 sh -c 'echo # it", {"I": "8"}),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.command)
def test_variables_before_programs_are_read(case: Case) -> None:
    assert case.variables == command_variables(case.command)


def test_variables_for_tests_that_nothing_reads_are_told() -> None:
    command = "CI=1 SHOP_TESTING=1 TEST_URL=x CITY=y pytest"
    assert unread_variables(command, lambda: ["os.environ['TEST_URL']"]) == {"CI", "SHOP_TESTING"}
