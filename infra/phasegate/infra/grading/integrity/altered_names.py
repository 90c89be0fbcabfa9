"""Names of a module that a change binds for the first time or otherwise.

Called by `unwatched`. It reads text and runs nothing. It must not know what the names are used for.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from phasegate.infra.documents.python_source import python_or_none
from phasegate.infra.grading.integrity.node_statements import OTHERS, node_statements


def altered_names(before: str, after: str, path: str = ".py") -> frozenset[str]:
    """Names whose statements at the top of a module are others than before, new ones included.

    Args:
        before: Text on the base commit.
        after: Text on the change.
        path: The file, whose ending tells the language: Python, else JavaScript.
    """
    old, new = _statements(before, path), _statements(after, path)
    return frozenset(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def known_names(text: str, path: str = ".py") -> frozenset[str]:
    """Names that a module binds at its top."""
    return frozenset(_statements(text, path))


def _statements(text: str, path: str) -> dict[str, list[str]]:
    """Statements at the top of a module, without places, by the names that they bind."""
    if not path.endswith(".py"):
        return node_statements(text)
    tree = python_or_none(text)
    if tree is None:  # of another version of Python, or past a bound
        return {OTHERS: [text]}
    statements: dict[str, list[str]] = {}
    for number, node in enumerate(tree.body):
        if number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        dumped = ast.dump(_without_docstring(node))
        for name in _bound(node):
            statements.setdefault(name, []).append(dumped)
    return statements


def _without_docstring(node: ast.stmt) -> ast.stmt:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and len(node.body) > 1:
        node.body = node.body[ast.get_docstring(node, clean=False) is not None :]
    return node


def _bound(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.Import() | ast.ImportFrom():
            yield from (alias.asname or alias.name for alias in node.names)
        case ast.Assign(targets=targets) if all(isinstance(target, ast.Name) for target in targets):
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case _:
            yield OTHERS
