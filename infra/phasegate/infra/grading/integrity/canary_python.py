"""Canaries for pytest and unittest, Django's test runner included.

Called by `canaries`. It must not know how tests are run.
"""

from __future__ import annotations

import ast
import secrets

from phasegate.infra.documents.python_source import python_or_none


def python_canary(source: str, word: str) -> tuple[str, str]:
    """Write a test that fails, whatever the code does, and begins like a test of the sealed file.

    Args:
        source: A Python test file.
        word: Part of the new test's name.

    Returns:
        A file with that test alone, and the test's name.
    """
    module = python_or_none(source) or ast.Module([], [])
    case = _test_case_class(module)
    tests = [node for node in (case or module).body if isinstance(node, ast.FunctionDef) and _is_plain(node, case)]
    like = secrets.choice(tests) if tests else None
    # imports inside: on the base commit they may fail, and then this test is to fail and not its file
    imports = [node for node in module.body if isinstance(node, ast.Import) or _is_plain_import(node)]
    compared = next((comparison for node in like.body if (comparison := _comparison(node))), None) if like else None
    number = 3 + secrets.randbelow(90)
    left = ast.List([*(compared[:1] if compared else ()), ast.Constant(number)], ast.Load())
    further = ast.Constant(number + 1 + secrets.randbelow(9))
    right = ast.List([*(compared[1:] if compared else ()), further], ast.Load())
    name = f"{like.name if like else 'test_it'}_{word}"
    body: list[ast.stmt] = [*imports]
    if case is None:
        body.append(ast.Assert(ast.Compare(left, [ast.Eq()], [right])))
        statements: list[ast.stmt] = [_function(name, [], body)]
    else:
        expect = ast.Attribute(ast.Name("self", ast.Load()), "assertEqual", ast.Load())
        body.append(ast.Expr(ast.Call(expect, [left, right], [])))
        base = ast.Attribute(ast.Name("unittest", ast.Load()), "TestCase", ast.Load())
        method = _function(name, [ast.arg("self")], body)
        statements = [
            ast.Import([ast.alias("unittest")]),
            ast.ClassDef(f"{case.name}{word.capitalize()}", [base], [], [method], []),
        ]
    return ast.unparse(ast.fix_missing_locations(ast.Module(statements, []))) + "\n", name


def _function(name: str, arguments: list[ast.arg], body: list[ast.stmt]) -> ast.FunctionDef:
    given = ast.arguments(posonlyargs=[], args=arguments, kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.FunctionDef(name, given, body, [])


def _test_case_class(module: ast.Module) -> ast.ClassDef | None:
    """A `unittest.TestCase` of a file without bare test functions, or `None` if pytest's style is meant."""
    if any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
        for node in module.body
    ):
        return None
    return next((node for node in module.body if isinstance(node, ast.ClassDef) and _is_test_case(node)), None)


def _is_test_case(node: ast.ClassDef) -> bool:
    asserting = any(
        isinstance(inner, ast.Attribute)
        and isinstance(inner.value, ast.Name)
        and inner.value.id == "self"
        and inner.attr.startswith("assert")
        for inner in ast.walk(node)
    )
    return any(ast.unparse(base).endswith("TestCase") or asserting for base in node.bases)


def _is_plain(node: ast.FunctionDef, case: ast.ClassDef | None) -> bool:
    """Tell a test that needs nothing but itself."""
    arguments = node.args.args[1:] if case else node.args.args
    return node.name.startswith("test") and not (arguments or node.args.kwonlyargs or node.decorator_list)


def _is_plain_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module != "__future__" and all(n.name != "*" for n in node.names)


def _comparison(node: ast.stmt) -> list[ast.expr] | None:
    """The two sides of an expected equality, or `None` if the statement expects none."""
    match node:
        case ast.Assert(test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right])):
            sides = [left, right]
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="assertEqual"), args=[left, right])):
            sides = [left, right]
        case _:
            return None
    # a method's `self` may hold what its class sets up, which the canary's class does not
    names = {inner.id for side in sides for inner in ast.walk(side) if isinstance(inner, ast.Name)}
    return None if "self" in names else sides
