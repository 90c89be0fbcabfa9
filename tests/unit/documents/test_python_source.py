"""Python source within bounds: the tree that visitors can walk, or an error."""

from __future__ import annotations

import ast
import copy

import pytest

from phasegate.infra.documents.python_source import (
    python_or_none,
    read_python,
    read_python_expression,
    read_python_literal,
)
from phasegate.infra.errors import DocumentUnreadable

REFUSED: dict[str, tuple[str | bytes, str]] = {
    "5,000 elif": ("if a:\n    b\n" + "".join(f"elif a == {n}:\n    b\n" for n in range(5_000)), "nested"),
    "800 elif": ("if a:\n    b\n" + "".join(f"elif a == {n}:\n    b\n" for n in range(800)), "nested"),
    "100,000 minus signs": (f"x = {'-' * 100_000}1", "nested"),
    "100,000 terms": (f"x = {' + '.join('1' * 100_000)}", "nested"),
    "50,000 attributes": (f"x = a{'.b' * 50_000}", "nested"),
    "50,000 calls": (f"x = a{'()' * 50_000}", "nested"),
    "50,000 lambdas": (f"x = {'lambda: ' * 50_000}1", "nested"),
    "50,000 not": (f"x = {'not ' * 50_000}1", "nested"),
    "50,000 powers": (f"x = {'2**' * 50_000}2", "nested"),
    "300 brackets": (f"x = {'(' * 300}1{')' * 300}", "no Python"),
    "a hexadecimal of 5,000 digits": (f"x = 0x{'f' * 5_000}", "line 1: it holds a number of more than 4000 digits"),
    "a decimal of 5,000 digits": (f"x = {'9' * 5_000}", "no Python"),
    "3 MB": ("x = 1\n" * 600_000, "longer than"),
    "NUL": ("x = 1\0", "no Python"),
    "another version's": ("print 1", "line 1: it is no Python"),
    "bytes of no encoding": (b"# coding: nobody-knows\nx = 1", "no Python"),
    "bytes that are no UTF-8": (b"x = '\xff'", "no Python"),
    "half of a character": ("x = '\ud800'", "no Python"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    """Mutations tried: without the handler of `MemoryError`; without the depth of the tree."""
    source, reason = REFUSED[name]
    with pytest.raises(DocumentUnreadable, match=reason):
        read_python(source, "a.py")
    assert python_or_none(source) is None


class Everywhere(ast.NodeTransformer):
    """Goes to each node, as graders' visitors do."""


@pytest.mark.parametrize(
    "source",
    [
        "if a:\n    b\n" + "".join(f"elif a == {n}:\n    b\n" for n in range(190)),
        f"x = {' + '.join('1' * 190)}",
        f"x = {'-' * 190}1",
        f"x = a{'.b' * 190}",
        f"x = a{'[0]' * 190}",
        f"x = {'lambda: ' * 190}1",
        "".join(f"{' ' * n}if a:\n" for n in range(95)) + " " * 95 + "pass",
    ],
)
def test_what_is_read_can_be_walked_spelled_and_copied(source: str) -> None:
    """Mutation tried: a depth of 1,000."""
    tree = Everywhere().visit(read_python(source, "a.py"))
    assert ast.unparse(ast.fix_missing_locations(tree))
    assert ast.dump(tree)
    compile(copy.copy(tree), "a.py", "exec")


def test_expressions_and_literals() -> None:
    assert isinstance(read_python_expression("a + 1", "it"), ast.BinOp)
    assert read_python_literal("({'a': [1, -2.5]},)", "it") == ({"a": [1, -2.5]},)
    for source in ("f()", "{[]: 1}", "-" * 10_000 + "1", "1 +"):
        with pytest.raises(DocumentUnreadable):
            read_python_literal(source, "it")
