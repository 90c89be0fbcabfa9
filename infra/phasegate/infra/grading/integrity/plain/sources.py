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


class Fixture:
    """A fixture function as its source has it."""

    def __init__(self, name: str, function: str, *, autouse: bool, is_simple: bool) -> None:
        """Remember its name, the function that makes it, and its kind."""
        self.name, self.function, self.autouse, self.is_simple = name, function, autouse, is_simple


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
        self.fixtures: list[Fixture] = []
        self.names: dict[str, str] = {}
        self._kept = set(_spelled(self.tree))
        for node in self.tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self._take_fixture(node)
            if neutral:
                self._rename(node)
        self.tree = ast.fix_missing_locations(_Neutral(self.names).visit(self.tree))

    def original(self, name: str) -> str:
        """Name of a test as it was written."""
        return next((old for old, new in self.names.items() if new == name), name)

    def _take_fixture(self, node: Any) -> None:
        for decorator in list(node.decorator_list):
            call = decorator if isinstance(decorator, ast.Call) else None
            target = call.func if call else decorator
            last = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
            if last not in ("fixture", "yield_fixture"):
                continue
            told = {keyword.arg: keyword.value for keyword in (call.keywords if call else [])}
            name, autouse = told.get("name"), told.get("autouse")
            node.decorator_list.remove(decorator)
            self.fixtures.append(
                Fixture(
                    str(name.value) if isinstance(name, ast.Constant) else node.name,
                    node.name,
                    autouse=isinstance(autouse, ast.Constant) and autouse.value is True,
                    is_simple="params" not in told and not isinstance(node, ast.AsyncFunctionDef),
                )
            )

    def _rename(self, node: Any) -> None:
        named = getattr(node, "name", "")
        free = named not in self._kept and all(named != fixture.function for fixture in self.fixtures)
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
        made: list[ast.stmt] = []
        kept = [name for name in node.names if not _is_runner(name.name)]
        for name in node.names:
            if _is_runner(name.name):
                bound = name.asname or name.name.partition(".")[0]
                made.append(_bind(bound, name.name if name.asname else bound, None))
        return ([ast.Import(names=kept)] if kept else []) + made

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        if node.level or not node.module or not _is_runner(node.module):
            return node
        return [_bind(name.asname or name.name, node.module, name.name) for name in node.names]


def _spelled(tree: ast.AST) -> Iterator[str]:
    """Names that a source spells elsewhere than where they are bound, so that they cannot be replaced."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.arg, ast.keyword)):
            yield node.arg or ""
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            yield from node.names


def _is_runner(module: str) -> bool:
    return module.partition(".")[0] in RUNNERS


def _bind(name: str, module: str, attribute: str | None) -> ast.stmt:
    wanted: tuple[str | None, ...] = (module, attribute)
    call = ast.Call(
        func=ast.Name(id=TOOLS, ctx=ast.Load()), args=[ast.Constant(value=one) for one in wanted], keywords=[]
    )
    return ast.Assign(targets=[ast.Name(id=name, ctx=ast.Store())], value=call)
