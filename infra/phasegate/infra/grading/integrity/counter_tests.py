"""Sealed Python tests with their expectations made wrong, for pytest and unittest.

Called by `canaries`. Only expectations at a test's top level are altered, before any `return`: a test that passes has
been through all of them, so code that honestly met the original's expectation fails the altered one. Tests without
such an expectation are left as they are and are not counted. The altered text looks like the original. It must not
know what a counter-test's outcome means.
"""

from __future__ import annotations

import ast
import secrets
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from phasegate.infra.documents.python_source import python_or_none
from phasegate.infra.grading.integrity.lenient_copies import Copies, Function

_OPPOSITES = {
    "assertTrue": "assertFalse",
    "assertIsNone": "assertIsNotNone",
    "assertIn": "assertNotIn",
    "assertIs": "assertIsNot",
    "assertEqual": "assertNotEqual",
    "assertAlmostEqual": "assertNotAlmostEqual",
    "assertGreater": "assertLessEqual",
    "assertLess": "assertGreaterEqual",
    "assertRegex": "assertNotRegex",
    "assertIsInstance": "assertNotIsInstance",
}
_ONE_SIDED = ("assertTrue", "assertFalse", "assertIsNone", "assertIsNotNone")
_ASSERTIONS = {
    name: (1 if name in _ONE_SIDED else 2, opposite)
    for assertion, other in _OPPOSITES.items()
    for name, opposite in ((assertion, other), (other, assertion))
}
"""unittest's assertions, by the number of values they take and the one that fails where they pass."""
_EQUAL = ("assertEqual",)


def counter_tests(
    source: str, believed: Collection[str] = (), copies: Copies | None = None
) -> tuple[str, frozenset[str]]:
    """Make the counter-tests of one file.

    Args:
        source: A Python test file.
        believed: Modules whose objects are not to equal others: no criterion asks for a matcher. Of all other modules
            an object made by its class's name may be one.
        copies: Names for copies of the tests, which ask each comparison by itself; `None`: without them.

    Returns:
        The file with wrong expectations, and the names of the tests that have one.
    """
    module = python_or_none(source)
    if module is None:
        return "", frozenset()
    altered: set[str] = set()
    spared: set[str] = set()
    functions = [node for node in ast.walk(module) if isinstance(node, Function)]
    plain = _names_from(module, believed)
    own_asserts = {function.name for function in functions if function.name.startswith("assert")}
    by_name: dict[str, Function] = {}
    for function in functions:
        if function.name.startswith("test"):
            values = _Values.of(function, plain)
            copied = copies.of(function, own_asserts, values.may_be_matcher) if copies else None
            altered_too = not _may_fail(function) and _alter(function, own_asserts, values)
            (altered if altered_too else spared).add(function.name)
            if copied and not _may_fail(function):
                by_name[function.name] = copied
    names = altered - spared
    if copies and (kept := {name: duplicate for name, duplicate in by_name.items() if _is_one(name, functions)}):
        _insert(module, kept, copies.helpers())
        names |= {duplicate.name for duplicate in kept.values()}
    return ast.unparse(ast.fix_missing_locations(module)) + "\n", frozenset(names)


def _is_one(name: str, functions: Sequence[Function]) -> bool:
    return sum(function.name == name for function in functions) == 1


def _may_fail(function: Function) -> bool:
    return any("xfail" in name or "expectedFailure" in name for name in map(ast.unparse, function.decorator_list))


def _insert(module: ast.Module, copied: Mapping[str, Function], helpers: Sequence[ast.stmt]) -> None:
    """Put each copy behind its original, and what they call at the end, where names of the file are bound already."""
    owners = [node for node in ast.walk(module) if isinstance(node, ast.Module | ast.ClassDef)]
    for owner in owners:
        body: list[ast.stmt] = []
        for statement in owner.body:
            body.append(statement)
            if isinstance(statement, Function) and statement.name in copied:
                body.append(copied[statement.name])
        owner.body = body
    module.body += helpers


def _alter(function: Function, own_asserts: Collection[str], values: _Values) -> bool:
    done = False
    for statement in function.body:
        if isinstance(statement, ast.Assert):
            statement.test = _wrong(statement.test, values)
            done = True
        elif (call := _assertion(statement)) and call.attr not in own_asserts:
            done = _make_wrong(call, values) or done
        elif any(isinstance(inner, ast.Return) for inner in ast.walk(statement)):
            break
    return done


@dataclass(frozen=True)
class _Values:
    """Types of a test's expressions, as far as its text tells them."""

    assigned: Mapping[str, ast.expr]
    """The first value of each local name."""
    matchers: frozenset[str]
    """Expressions that the test expects to equal two different constants."""
    plain: Collection[str] = ()
    """Names of modules, classes and objects that are no matchers."""

    @classmethod
    def of(cls, function: Function, plain: Collection[str]) -> _Values:
        assigned: dict[str, ast.expr] = {}
        equal: dict[str, set[str]] = {}
        for node in ast.walk(function):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    assigned.setdefault(name, value)
                case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
                    for side, other in ((left, right), (right, left)):
                        if isinstance(other, ast.Constant):
                            equal.setdefault(ast.unparse(side), set()).add(repr(other.value))
                case _:
                    pass
        matchers = frozenset(text for text, constants in equal.items() if len(constants) > 1)
        return cls(assigned, matchers, plain)

    def may_be_matcher(self, side: ast.expr) -> bool:
        """Tell if an expression may honestly equal other values, too: `mock.ANY` does, and classes made for it."""
        if isinstance(side, ast.List | ast.Tuple | ast.Dict):
            parts = side.values if isinstance(side, ast.Dict) else side.elts
            return any(map(self.may_be_matcher, parts))
        if isinstance(side, ast.Name) and side.id in self.assigned:
            value = self.assigned[side.id]
            return not isinstance(value, ast.Name) and self.may_be_matcher(value)
        if ast.unparse(side) in self.matchers:
            return True
        named = side.func if isinstance(side, ast.Call) else side
        last = ast.unparse(named).rpartition(".")[2]
        is_class = last[:1].isupper() if isinstance(side, ast.Call) else last.isupper()
        return isinstance(named, ast.Name | ast.Attribute) and is_class and self._may_be_foreign(named)

    def _may_be_foreign(self, named: ast.expr) -> bool:
        parts = ast.unparse(named).split(".")
        return not any(".".join(parts[:length]) in self.plain for length in range(1, len(parts) + 1))


def _names_from(module: ast.Module, modules: Collection[str]) -> frozenset[str]:
    """The names that a file has for some modules and for what is in them."""
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {name.asname or name.name for name in node.names if name.name.partition(".")[0] in modules}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in modules:
            names |= {name.asname or name.name for name in node.names}
    return frozenset(names)


def _assertion(statement: ast.stmt) -> _Assertion | None:
    """A call of one of unittest's own assertions."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=attr)) as call):
            return _Assertion(call, attr) if attr in _ASSERTIONS else None
        case _:
            return None


@dataclass(frozen=True)
class _Assertion:
    call: ast.Call
    attr: str


def _make_wrong(assertion: _Assertion, values: _Values) -> bool:
    """Make one of unittest's assertions wrong; tell if it could be made so."""
    call, (sides, opposite) = assertion.call, _ASSERTIONS[assertion.attr]
    if len(call.args) < sides or any(isinstance(argument, ast.Starred) for argument in call.args):
        return False
    if assertion.attr in _EQUAL and not any(map(values.may_be_matcher, call.args[:2])):
        first, second = call.args[:2]
        at = 0 if isinstance(first, ast.Constant) and not isinstance(second, ast.Constant) else 1
        call.args[at] = _other(call.args[at])
    else:
        call.func = ast.Attribute(ast.Name("self", ast.Load()), opposite, ast.Load())
    return True


def _wrong(test: ast.expr, values: _Values) -> ast.expr:
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        if isinstance(test.ops[0], ast.Eq) and not any(map(values.may_be_matcher, (test.left, test.comparators[0]))):
            left_is_given = isinstance(test.left, ast.Constant) and not isinstance(test.comparators[0], ast.Constant)
            if left_is_given:
                return ast.Compare(_other(test.left), test.ops, test.comparators)
            return ast.Compare(test.left, test.ops, [_other(test.comparators[0])])
        is_text = isinstance(test.left, ast.Constant) and isinstance(test.left.value, str)
        if isinstance(test.ops[0], ast.In) and is_text and not values.may_be_matcher(test.comparators[0]):
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
