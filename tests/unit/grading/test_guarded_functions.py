"""Functions of a file, and the lines that hold code."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from phasegate.infra.grading.guards.functions import functions_of, statement_lines


@dataclass(frozen=True)
class Case:
    path: str
    text: str
    functions: tuple[tuple[str, int, int], ...]
    lines: tuple[int, ...]


PYTHON = """import os


def greet(name):
    '''Say hello.'''
    return f"Hello {name}"


class A:
    def go(self):
        pass
"""
NODE = """const x = 1;
function greet(name) {
  // why
  return 'Hello {' + name;
}
const shout = (name) => {
  return name;
};
"""
GO = """package a

func (s *Server) Greet(name string) string {
\tif name == "" {
\t\treturn ""
\t}
\treturn name
}
"""
JAVA = """class A {
  public static String greet(String name) {
    return name;
  }
}
"""
CASES = [
    Case("a.py", PYTHON, (("greet", 4, 6), ("A.go", 10, 11)), (6, 11)),
    Case("b.py", "import os\nX = 1\n", (), (1, 2)),
    Case("a.js", NODE, (("greet", 2, 5), ("shout", 6, 8)), (4, 7)),
    Case("a.go", GO, (("Greet", 3, 8),), (4, 5, 7)),
    Case("a.rb", "def greet(name)\n  name.upcase\nend\n", (("greet", 1, 2),), (2,)),
    Case("A.java", JAVA, (("greet", 2, 4),), (3,)),
    Case("a.rs", "pub fn greet(name: &str) -> String {\n    name.to_string()\n}\n", (("greet", 1, 3),), (2,)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_functions_and_lines_are_found(case: Case) -> None:
    found = functions_of(case.path, case.text)
    assert tuple((one.name, one.start, one.end) for one in found) == case.functions
    assert tuple(sorted(statement_lines(case.path, case.text))) == case.lines
