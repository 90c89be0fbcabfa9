"""Test source that needs no runner: imports of runners served from memory, fixtures told apart, names made neutral.

Runs inside the sandbox. A test function is called by a name that says nothing, from a file that says nothing, so that
code under test cannot tell by its callers that it is tested.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

RUNNERS = ("pytest", "_pytest", "unittest", "pluggy", "nose", "doctest", "hypothesis", "xdist", "coverage")
TOOLS = "_tools_"


class Source:
    """Test module or conftest, ready to be compiled."""

    def __init__(self, text: str, *, neutral: bool) -> None:
        """Read it.

        Args:
            text: Python.
            neutral: True to give tests other names.

        Raises:
            SyntaxError: It is no Python of this version.
        """
        self.tree = ast.parse(text)
        self.names: dict[str, str] = {}
        self._kept = set(_spelled(self.tree))
        for node in self.tree.body:
            if neutral:
                self._rename(node)
        self.tree = ast.fix_missing_locations(_Neutral(self.names).visit(self.tree))

    def original(self, name: str) -> str:
        """Name of a test as it was written."""
        return next((old for old, new in self.names.items() if new == name), name)

    def _rename(self, node: Any) -> None:
        named = getattr(node, "name", "")
        free = named not in self._kept
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and named.startswith("test") and free:
            self.names.setdefault(named, f"step_{len(self.names)}")
        elif isinstance(node, ast.ClassDef):
            if "test" in named.lower() and free:
                self.names.setdefault(named, f"Part{len(self.names)}")
            for inner in node.body:
                self._rename(inner)


class _Neutral(ast.NodeTransformer):
    """Puts in the new names, and has runners' modules come from memory."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self._names.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.name = self._names.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._names.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> Any:
        statements: list[ast.stmt] = []
        kept = [name for name in node.names if not is_runner(name.name)]
        for name in node.names:
            if is_runner(name.name):
                bound = name.asname or name.name.partition(".")[0]
                statements.append(_bind(bound, name.name if name.asname else bound, None))
        return ([ast.Import(names=kept)] if kept else []) + statements

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        if node.level or not node.module or not is_runner(node.module):
            return node
        return [_bind(name.asname or name.name, node.module, name.name) for name in node.names]


def _spelled(tree: ast.AST) -> Iterator[str]:
    """Names that a source spells in other places than where they are bound, so that they cannot be replaced."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.arg, ast.keyword)):
            yield node.arg or ""
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            yield from node.names


def is_runner(module: str) -> bool:
    """True for a module of a test runner, or of what plugs into one."""
    return module.partition(".")[0] in RUNNERS or module.startswith("pytest_")


def _bind(name: str, module: str, attribute: str | None) -> ast.stmt:
    wanted: tuple[str | None, ...] = (module, attribute)
    call = ast.Call(
        func=ast.Name(id=TOOLS, ctx=ast.Load()), args=[ast.Constant(value=value) for value in wanted], keywords=[]
    )
    return ast.Assign(targets=[ast.Name(id=name, ctx=ast.Store())], value=call)
