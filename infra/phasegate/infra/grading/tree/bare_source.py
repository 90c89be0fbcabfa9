"""Python source of ours as it is laid into test files: definitions alone, without annotations and docstrings.

Called by what writes test files. Interpreters back to Python 3.8 run it, and code under test may read it. It must not
know what a source is for.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


def bare_definitions(file: Path, **constants: int) -> list[ast.stmt]:
    """The statements of a source that define something, and its plain imports.

    Args:
        file: The source.
        constants: Values of constants that it has at its top.
    """
    module: ast.Module = _Bare().visit(ast.parse(file.read_text()))
    kept = [statement for statement in module.body if not isinstance(statement, ast.ImportFrom)]
    for statement in kept:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) if name in constants:
                statement.value = ast.Constant(constants[name])
            case _:
                pass
    return kept


def filled(text: str, body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Statements of a text, with others in the place of its `pass`."""
    module: ast.Module = _Filled(body).visit(ast.parse(text))
    return module.body


@dataclass
class _Filled(ast.NodeTransformer):
    body: Sequence[ast.stmt]

    def visit_Pass(self, node: ast.Pass) -> list[ast.stmt]:
        return [*self.body]


class _Bare(ast.NodeTransformer):
    """Takes out annotations, which older interpreters cannot read, and docstrings, which tell what stands there."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node
