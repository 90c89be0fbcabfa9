"""Sealed Python tests with their expectations made wrong.

Called by `planted`. Only what a test says at its top level is altered, before any `return`: a test that passes has
been through all of that, so whatever honestly met the original's expectation fails the altered one. Tests without
such an `assert` are left as they are and are not counted. What is put in looks like what was there. It must not know
what a counter-test's outcome means.
"""

from __future__ import annotations

import ast
import secrets
import string

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def counter_tests(source: str) -> tuple[str, frozenset[str]]:
    """Make the counter-tests of one file.

    Args:
        source: A Python test file.

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
        if isinstance(function, _Function) and function.name.startswith("test"):
            (altered if _alter(function) else spared).add(function.name)
    return ast.unparse(ast.fix_missing_locations(module)) + "\n", frozenset(altered - spared)


def canary_test(source: str, word: str) -> tuple[str, str]:
    """Make a test that fails, whatever the code does, and begins like one of a file's own.

    Args:
        source: A Python test file.
        word: Goes into the test's name.

    Returns:
        A file with that test alone, and the test's name.
    """
    try:
        module = ast.parse(source)
    except SyntaxError:
        module = ast.Module([], [])
    plain = [
        node
        for node in (*module.body, *ast.parse("def test_it():\n    pass\n").body)
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test")
        and not (node.args.args or node.args.kwonlyargs or node.decorator_list)
    ]
    like = secrets.choice(plain[:-1] or plain)
    # imports inside: on the base commit they may fail, and then this test is to fail and not its file
    imports = [node for node in module.body if isinstance(node, ast.Import) or _is_plain_import(node)]
    number = 3 + secrets.randbelow(90)
    compared = next((found for node in like.body if (found := _comparison(node))), None)
    left = ast.List([compared.left, ast.Constant(number)] if compared else [ast.Constant(number)], ast.Load())
    right: list[ast.expr] = [
        *(compared.comparators if compared else ()),
        ast.Constant(number + 1 + secrets.randbelow(9)),
    ]
    last = ast.Assert(ast.Compare(left, [ast.Eq()], [ast.List(right, ast.Load())]))
    like.name = f"{like.name}_{word}"
    like.body = [*imports, last]
    return ast.unparse(ast.fix_missing_locations(ast.Module([like], []))) + "\n", like.name


def _is_plain_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module != "__future__" and all(n.name != "*" for n in node.names)


def _comparison(node: ast.stmt) -> ast.Compare | None:
    """What a statement expects to be equal to something."""
    if isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare) and len(node.test.ops) == 1:
        return node.test if isinstance(node.test.ops[0], ast.Eq) else None
    return None


def _alter(function: _Function) -> bool:
    done = False
    for statement in function.body:
        if isinstance(statement, ast.Assert):
            statement.test = _wrong(statement.test)
            done = True
        elif any(isinstance(inner, ast.Return) for inner in ast.walk(statement)):
            break
    return done


def _wrong(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        if isinstance(test.ops[0], ast.Eq):
            left_is_given = isinstance(test.left, ast.Constant) and not isinstance(test.comparators[0], ast.Constant)
            if left_is_given:
                return ast.Compare(_other(test.left), test.ops, test.comparators)
            return ast.Compare(test.left, test.ops, [_other(test.comparators[0])])
        if isinstance(test.ops[0], ast.In) and isinstance(test.left, ast.Constant) and isinstance(test.left.value, str):
            return ast.Compare(_other(test.left), test.ops, test.comparators)
    return ast.UnaryOp(ast.Not(), test)


def _other(expected: ast.expr) -> ast.expr:
    """Something of the same type where that can be told, and never equal."""
    value = expected.value if isinstance(expected, ast.Constant) else None
    if isinstance(value, str):
        return ast.Constant(value + _letters())
    if isinstance(value, bytes):
        return ast.Constant(value + _letters().encode())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ast.Constant(value + abs(value) // 2 + 3 + secrets.randbelow(90))
    if isinstance(expected, ast.List | ast.Tuple):
        kind, further = type(expected), ast.Constant(_letters())
        return kind([*expected.elts, further], ast.Load())
    return ast.Call(ast.Name("object", ast.Load()), [], [])


def _letters() -> str:
    """Letters that nothing under test can know."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(8))
