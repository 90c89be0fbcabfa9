"""Sealed Python tests with their expectations made wrong.

Called by `planted`. Only what a test says at its top level is altered, before any `return`: a test that passes has
been through all of that, so whatever honestly met the original's expectation fails the altered one. Tests without
such an `assert` are left as they are and are not counted. It must not know what a counter-test's outcome means.
"""

from __future__ import annotations

import ast

_LARGE = 7_349_981  # far from what a test would expect by chance


def counter_tests(source: str, nonce: str) -> tuple[str, frozenset[str]]:
    """Make the counter-tests of one file.

    Args:
        source: A Python test file.
        nonce: A word that nothing under test can know.

    Returns:
        The file with wrong expectations, and the names of the tests that have one.
    """
    try:
        module = ast.parse(source)
    except SyntaxError:
        return "", frozenset()
    altered: set[str] = set()
    spared: set[str] = set()
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name.startswith("test"):
            (altered if _alter(function, nonce) else spared).add(function.name)
    return ast.unparse(ast.fix_missing_locations(module)) + "\n", frozenset(altered - spared)


def _alter(function: ast.FunctionDef | ast.AsyncFunctionDef, nonce: str) -> bool:
    done = False
    for statement in function.body:
        if isinstance(statement, ast.Assert):
            statement.test = _wrong(statement.test, nonce)
            done = True
        elif any(isinstance(inner, ast.Return) for inner in ast.walk(statement)):
            break
    return done


def _wrong(test: ast.expr, nonce: str) -> ast.expr:
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        if isinstance(test.ops[0], ast.Eq):
            left_is_given = isinstance(test.left, ast.Constant) and not isinstance(test.comparators[0], ast.Constant)
            if left_is_given:
                return ast.Compare(_other(test.left, nonce), test.ops, test.comparators)
            return ast.Compare(test.left, test.ops, [_other(test.comparators[0], nonce)])
        if isinstance(test.ops[0], ast.In) and isinstance(test.left, ast.Constant) and isinstance(test.left.value, str):
            return ast.Compare(_other(test.left, nonce), test.ops, test.comparators)
    return ast.UnaryOp(ast.Not(), test)


def _other(expected: ast.expr, nonce: str) -> ast.expr:
    """Something of the same type where that can be told, and never equal."""
    value = expected.value if isinstance(expected, ast.Constant) else None
    if isinstance(value, str):
        return ast.Constant(f"{value}{nonce}")
    if isinstance(value, bytes):
        return ast.Constant(value + nonce.encode())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ast.Constant(value + _LARGE)
    return ast.Call(ast.Name("object", ast.Load()), [], [])
