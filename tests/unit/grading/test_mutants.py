"""Mutants: each holds one fault, and none of them where there is nothing to get wrong."""

from __future__ import annotations

import ast
from dataclasses import dataclass

import pytest

from phasegate.infra.grading.guards.mutants import mutants_of

PYTHON = '''"""Greets."""


def greet(name, loud=False):
    """Say hello."""
    if loud and len(name) > 2:
        return name.upper() + "!"
    log.append(name)
    return f"Hello {name}"


def other():
    return 1
'''


@dataclass(frozen=True)
class Case:
    path: str
    text: str
    expected: tuple[str, ...]
    """Lines that some mutant holds."""


CASES = [
    Case(
        "a.js",
        "function f(a) {\n  if (a === 'b') {\n    return a + 1;\n  }\n  log(a);\n}\n",
        ("  if (a === 'bx') {", "  if (a !== 'b') {", "    return a + 2;", "    return a - 1;", "    return null;"),
    ),
    Case(
        "a.go",
        "package a\n\nfunc F(a int) bool {\n\tcount(a)\n\treturn a < 3 && true\n}\n",
        ("\treturn a >= 3 && true", "\treturn a < 4 && true", "\treturn a < 3 || true", "\treturn a < 3 && false"),
    ),
    Case(
        "a.ts",
        "export const f = (name: string): string => {\n  return `Hello ${name}`;\n};\n",
        ("  return `Hello ${name}x`;",),
    ),
    Case("a.rb", "def f(a)\n  a * 2\nend\n", ("  a * 3", "  a / 2")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_lines_of_other_languages_get_one_fault_each(case: Case) -> None:
    made = mutants_of(case.path, case.text, ("f", "F"))
    before = case.text.splitlines()
    changed = []
    for mutant in made:
        after = mutant.content.splitlines()
        differing = [line for old, line in zip(before, after, strict=True) if old != line]
        assert len(differing) == 1, mutant
        changed += differing
    assert set(case.expected) <= set(changed), changed


def test_python_gets_one_fault_each_within_the_functions_named() -> None:
    made = mutants_of("app.py", PYTHON, ("greet",))
    faults = {(mutant.line, mutant.fault) for mutant in made}
    assert {
        (7, "returns nothing"),
        (9, "returns nothing"),
        (6, "the opposite comparison"),
        (6, "another operator"),
        (7, "another constant"),
        (9, "another text"),
        (4, "without the statement in line 8"),
    } <= faults
    for mutant in made:
        assert ast.dump(ast.parse(mutant.content)) != ast.dump(ast.parse(PYTHON))
        assert ast.get_docstring(ast.parse(mutant.content)) == "Greets."
        assert "return 1" in mutant.content


def test_the_whole_file_and_no_code() -> None:
    assert any(mutant.line == 13 for mutant in mutants_of("app.py", PYTHON))
    assert mutants_of("app.py", "import os\n") == []
    assert mutants_of("app.py", "def broken(:\n") == []
    assert mutants_of("app.py", PYTHON, ("missing",)) == []
