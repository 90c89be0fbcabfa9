"""Python source of others: its syntax tree, or `DocumentUnreadable`.

The parser gives up on deep nesting with `MemoryError` or `RecursionError`. A tree that it does make may still be too
deep for visitors, which recurse: its depth is measured here. Integers are bounded: longer ones cannot be spelled again.
"""

from __future__ import annotations

import ast

from phasegate.infra.documents.bounds import MIB, DocumentBounds, unreadable
from phasegate.infra.errors import DocumentUnreadable

PYTHON = DocumentBounds(size=2 * MIB, depth=200, values=2_000_000, digits=4_000)
"""Bounds of a module. Visitors and `ast.unparse` take up to four calls a level, of the thousand that Python allows."""


def read_python(source: str | bytes, name: str = "the source", bounds: DocumentBounds = PYTHON) -> ast.Module:
    """Parse a module.

    Args:
        source: The text; bytes are decoded as Python does.
        name: Name of the document in messages.
        bounds: Bounds within which it is read.

    Raises:
        DocumentUnreadable: It is no Python of this version, or past a bound.
    """
    module = _parsed(source, name, bounds, "exec")
    assert isinstance(module, ast.Module)  # noqa: S101  by the mode
    return module


def read_python_expression(source: str, name: str, bounds: DocumentBounds = PYTHON) -> ast.expr:
    """Parse one expression; as `read_python`.

    Raises:
        DocumentUnreadable: It is no expression of this version, or past a bound.
    """
    expression = _parsed(source, name, bounds, "eval")
    assert isinstance(expression, ast.Expression)  # noqa: S101  by the mode
    return expression.body


def python_or_none(source: str | bytes) -> ast.Module | None:
    """Parse a module; `None` stands for one that cannot be read."""
    try:
        return read_python(source)
    except DocumentUnreadable:
        return None


def read_python_literal(source: str, name: str) -> object:
    """Evaluate an expression of literals alone.

    Raises:
        DocumentUnreadable: It is none, or past a bound.
    """
    expression = read_python_expression(source, name)
    try:
        value: object = ast.literal_eval(expression)
    except (ValueError, TypeError) as error:
        raise unreadable(name, f"it is no literal: {error}") from error
    return value


def _parsed(source: str | bytes, name: str, bounds: DocumentBounds, mode: str) -> ast.AST:
    bounds.require_size(source, name)
    try:
        tree: ast.AST = ast.parse(source, mode=mode)
    except (RecursionError, MemoryError) as error:
        raise bounds.too_deep(name) from error
    except SyntaxError as error:
        raise unreadable(name, f"it is no Python: {error.msg}", error.lineno) from error
    except ValueError as error:  # a NUL, or an encoding that does not fit
        raise unreadable(name, f"it is no Python: {error}") from error
    _require_bounds(tree, name, bounds)
    return tree


def _require_bounds(tree: ast.AST, name: str, bounds: DocumentBounds) -> None:
    level, values = [tree], 0
    for _ in range(bounds.depth):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        values += len(level)
        if values > bounds.values:
            raise bounds.too_many(name)
        for node in level:
            if isinstance(node, ast.Constant) and isinstance(node.value, int) and _digits(node.value) > bounds.digits:
                raise bounds.too_long_a_number(name, node.lineno)
        if not level:
            return
    raise bounds.too_deep(
        name, min((node.lineno for node in level if isinstance(node, ast.expr | ast.stmt)), default=None)
    )


def _digits(number: int) -> int:
    return number.bit_length() * 1_000 // 3_322
