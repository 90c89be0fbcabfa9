"""Checks of a Python test file, by its syntax tree: `assert`, unittest's and mock's assertions, `raises`.

Called by `test_comparison`. What cannot be reached, or whose failure is swallowed, counts as no check.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from phasegate.infra.documents.python_source import python_or_none
from phasegate.infra.grading.integrity.checks import (
    EXACT,
    PARTIAL,
    TRIVIAL,
    WEAK,
    Expectation,
    TestBody,
    is_helper_name,
    squeezed,
)

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_PREDICATES = re.compile(r"all|any|\w*(?:startswith|endswith|match|search|exists|equal|close)\w*|is_\w+")
_EXACT_METHODS = re.compile(
    r"assert_?(?:\w*equals?|\w*Equals?|Is|IsNone|\w*called_once_with|\w*called_with|\w*any_call|has_calls|not_called"
    r"|\w*called_once|\w*awaited_once_with|\w*awaited_with|\w*[cC]lose)"
)
_TRUE, _FALSE = ("assertTrue", "assert_", "assertIs_true"), ("assertFalse",)
_WEAK_METHODS = ("assertIsNotNone", "assertIsNot", "assertNotEqual", "assertNotIsInstance")
_RAISES = (
    "raises",
    "warns",
    "assertRaises",
    "assertRaisesRegex",
    "assertRaisesRegexp",
    "assertWarns",
    "assertWarnsRegex",
)
_ANY_ERROR = ("Exception", "BaseException", "AssertionError", "Warning", "object")
_UNCONDITIONAL = ("True", "1", "not False", "not 0", "not None")
_HONEST_CONDITION = re.compile(r"sys\.|platform|version|os\.name|\b(?:PY|IS|HAS|WIN|MAC|LINUX)\w*|has_|is_|PYPY")
"""Conditions that a check depends on for good reasons: one platform, one version, some of the cases."""
_SLACK = ("rel", "abs", "places", "delta", "rtol", "atol", "rel_tol", "abs_tol")
_PATCHES = ("setattr", "patch", "object", "multiple", "setitem", "dict")


def python_tests(path: str, text: str) -> list[TestBody]:
    """The tests and helpers of a Python file, or none if it is no Python.

    Args:
        path: The file's; pytest collects tests from files of certain names alone.
        text: Its content.
    """
    module = python_or_none(text)
    if module is None:
        return []
    skipped = _module_is_skipped(module)
    name = path.rpartition("/")[2]
    is_collected = re.fullmatch(r"tests?(?:_.*|)\.py|tests?.*\.py|.*[_-]?tests?\.py", name) is not None
    bodies = _bodies(path, text.split("\n"), module.body, "", skipped=skipped, is_collected=is_collected)
    return list({body.name: body for body in bodies}.values())  # of two by one name, the last one is there


def _bodies(
    path: str, lines: Sequence[str], body: Sequence[ast.stmt], prefix: str, *, skipped: bool, is_collected: bool
) -> Iterator[TestBody]:
    for node in body:
        if isinstance(node, _Function):
            is_test = is_collected and node.name.startswith("test") and not _is_fixture(node)
            yield _body(path, lines, node, prefix, skipped=skipped, is_test=is_test)
        elif isinstance(node, ast.ClassDef):
            runs = is_collected and bool(node.bases or re.match(r"Test|.*Tests?$", node.name))
            off = skipped or _is_marked(node.decorator_list) or _module_is_skipped(node)
            yield from _bodies(path, lines, node.body, f"{prefix}{node.name}::", skipped=off, is_collected=runs)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            kept = [] if isinstance(node, ast.If) and _is_never(node.test) else node.body
            yield from _bodies(path, lines, kept, prefix, skipped=skipped, is_collected=is_collected)
            others = [] if isinstance(node, ast.With) else node.orelse
            yield from _bodies(path, lines, others, prefix, skipped=skipped, is_collected=is_collected)


def _body(path: str, lines: Sequence[str], node: _Function, prefix: str, *, skipped: bool, is_test: bool) -> TestBody:
    reached, leaves = _reached(node.body)
    assigned = dict(_assignments(reached))
    expectations = (check for statement in reached for check in _checks(statement))
    checks = tuple(replace(check, strength=TRIVIAL) if _is_itself(check, assigned) else check for check in expectations)
    cases = _cases(node.decorator_list)
    walked = [inner for statement in reached for inner in ast.walk(statement)]
    calls = [inner for inner in walked if isinstance(inner, ast.Call)]
    calls_above = [inner for inner in node.decorator_list if isinstance(inner, ast.Call)]
    patched = {name for call in (*calls, *calls_above) if _called(call) in _PATCHES for name in _patched(call)}
    return TestBody(
        path=path,
        name=f"{prefix}{node.name}",
        text="\n".join(lines[min(marked.lineno for marked in (node, *node.decorator_list)) - 1 : node.end_lineno]),
        checks=checks,
        calls=frozenset(map(_called, calls)) | {argument.arg for argument in node.args.args},
        is_test=is_test,
        is_skipped=skipped or leaves or cases == 0 or _is_marked(node.decorator_list),
        cases=cases,
        patched=frozenset(patched),
    )


def _returns(statement: ast.stmt) -> bool:
    """True for a statement after which nothing of a function runs."""
    if isinstance(statement, ast.If) and _is_always(statement.test):
        return any(map(_returns, statement.body))
    return isinstance(statement, ast.Return) and statement.value is None


def _assignments(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as value):
                yield name, squeezed(ast.unparse(value))
            case _:
                pass


def _is_itself(check: Expectation, assigned: Mapping[str, str]) -> bool:
    """True if a check compares something with the same thing under another name."""
    sides = [assigned.get(side, side) for side in check.text.split("==")]
    return len(sides) == 2 and sides[0] == sides[1]


def _cases(decorators: Sequence[ast.expr]) -> int:
    """Number of cases in the lists that parametrise a test."""
    number = 1
    for mark in decorators:
        if isinstance(mark, ast.Call) and _called(mark) == "parametrize":
            given = [keyword.value for keyword in mark.keywords if keyword.arg == "argvalues"] or mark.args[1:2]
            if given and isinstance(given[0], ast.List | ast.Tuple):
                number *= len(given[0].elts)
    return number


def _reached(body: Sequence[ast.stmt]) -> tuple[list[ast.stmt], bool]:
    """The statements of a function that may be reached; and True where it skips itself on no condition."""
    statements: list[ast.stmt] = []
    used = {node.id for statement in body for node in ast.walk(statement) if isinstance(node, ast.Name)}
    for statement in body:
        if _returns(statement):
            break
        if isinstance(statement, _Function) and not statement.decorator_list and statement.name not in used:
            continue  # it is never called
        call = statement.value if isinstance(statement, ast.Expr) else None
        call = statement.exc if isinstance(statement, ast.Raise) else call
        if isinstance(call, ast.Call) and _called(call) in ("skip", "skipTest", "xfail", "SkipTest"):
            return statements, True
        statements.append(statement)
    return statements, False


def _checks(node: ast.AST) -> Iterator[Expectation]:
    match node:
        case ast.Assert(test=test):
            yield from _of_expression(test)
        case ast.Call() if checks := _of_call(node):
            yield from checks
        case ast.Raise(exc=ast.expr() as error) if "AssertionError" in ast.unparse(error):
            yield _check(node, PARTIAL)
        case ast.If(test=test, body=body, orelse=[]) if not _HONEST_CONDITION.search(ast.unparse(test)):
            inner = [] if _is_never(test) else body
            for expectation in (check for statement in inner for check in _checks(statement)):
                yield replace(expectation, text=f"if:{expectation.text}", strength=min(WEAK, expectation.strength))
        case _:
            for child in _what_counts(node):
                yield from _checks(child)


def _what_counts(node: ast.AST) -> Iterable[ast.AST]:
    """The parts of a statement that may be reached, and whose failures count."""
    match node:
        case ast.If(test=test, orelse=others) | ast.While(test=test, orelse=others) if _is_never(test):
            return others
        case ast.For(iter=ast.List(elts=[]) | ast.Tuple(elts=[])):
            return ()
        case ast.Try() if any(map(_swallows, node.handlers)):
            return (*node.orelse, *node.finalbody, *(line for handler in node.handlers for line in handler.body))
        case ast.With(items=items) | ast.AsyncWith(items=items) if any(_catches(item.context_expr) for item in items):
            return [item.context_expr for item in items]
        case _:
            return ast.iter_child_nodes(node)


def _of_expression(test: ast.expr) -> Iterator[Expectation]:
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        for value in test.values:
            yield from _of_expression(value)
        return
    yield _check(test, _strength(test))


def _strength(test: ast.expr) -> int:  # noqa: PLR0911 - one answer per kind of expression
    if _is_always(test):
        return TRIVIAL
    match test:
        case ast.BoolOp(op=ast.Or(), values=values):
            return max(WEAK, min(map(_strength, values)) - 1)
        case ast.BoolOp(values=values):
            return max(map(_strength, values))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return PARTIAL if isinstance(operand, ast.Call | ast.Compare) else WEAK
        case ast.Compare(ops=[op], comparators=[right]):
            if isinstance(op, ast.NotEq | ast.IsNot):
                return WEAK
            if isinstance(op, ast.Eq | ast.Is):
                return WEAK if re.search(r"ANY$|^(?:True|False)$", ast.unparse(right)) else EXACT
            return WEAK if ast.unparse(right) == "0" and ast.unparse(test.left).startswith("len(") else PARTIAL
        case ast.Compare():
            return EXACT
        case ast.Call():
            return PARTIAL if _PREDICATES.fullmatch(_called(test)) else WEAK
        case _:
            return WEAK


def _is_always(test: ast.expr) -> bool:  # noqa: C901, PLR0911 - one answer per kind of expression
    match test:
        case ast.Constant(value=value):
            return bool(value)
        case ast.Tuple(elts=elements):
            return bool(elements)
        case ast.Lambda() | ast.JoinedStr():
            return True
        case ast.UnaryOp(op=ast.Not(), operand=ast.Constant(value=value)):
            return not value
        case ast.BoolOp(op=ast.Or(), values=values):
            texts = [ast.unparse(value) for value in values]
            return any(map(_is_always, values)) or any(f"not {text}" in texts for text in texts)
        case ast.BoolOp(op=ast.And(), values=values):
            return all(map(_is_always, values))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            same = ast.unparse(left) == ast.unparse(right) and isinstance(op, ast.Eq | ast.Is | ast.GtE | ast.LtE)
            both = isinstance(left, ast.Constant) and isinstance(right, ast.Constant)
            counted = ast.unparse(left).startswith("len(") and isinstance(op, ast.GtE) and ast.unparse(right) == "0"
            return same or both or counted
        case ast.Call(func=ast.Name(id="isinstance"), args=[_, kind]):
            return ast.unparse(kind) == "object"
        case ast.Call(func=ast.Name(id="bool"), args=[value]):
            return _is_always(value)
        case ast.Call(
            func=ast.Name(id="all"),
            args=[ast.GeneratorExp(generators=[generator]) | ast.ListComp(generators=[generator])],
        ):
            return isinstance(generator.iter, ast.List | ast.Tuple) and not generator.iter.elts
        case _:
            return False


def _of_call(call: ast.Call) -> list[Expectation]:  # noqa: PLR0911 - one answer per kind of assertion
    name = _called(call)
    if name in _RAISES:
        return [_check(call, _strength_of_raises(call))]
    if name in _TRUE and call.args:
        return list(_of_expression(call.args[0]))
    if name in _FALSE and call.args:
        return list(_of_expression(ast.UnaryOp(ast.Not(), call.args[0])))
    if name == "fail" and isinstance(call.func, ast.Attribute):
        return [_check(call, PARTIAL)]
    if name in _WEAK_METHODS:
        return [_check(call, WEAK)]
    if _EXACT_METHODS.fullmatch(name):
        same = len(call.args) >= 2 and ast.unparse(call.args[0]) == ast.unparse(call.args[1])
        literals = len(call.args) >= 2 and all(isinstance(argument, ast.Constant) for argument in call.args[:2])
        return [_check(call, TRIVIAL if same or literals else EXACT)]
    return [_check(call, PARTIAL)] if is_helper_name(name) else []


def _strength_of_raises(call: ast.Call) -> int:
    if not call.args:
        return PARTIAL
    kinds = call.args[0].elts if isinstance(call.args[0], ast.Tuple) else [call.args[0]]
    if any(ast.unparse(kind).rpartition(".")[2] in _ANY_ERROR for kind in kinds):
        return WEAK
    says = "Regex" in _called(call) or any(keyword.arg == "match" for keyword in call.keywords)
    return EXACT if says else PARTIAL


def _check(node: ast.AST, strength: int) -> Expectation:
    text = squeezed(ast.unparse(node))
    calls = {_called(inner) for inner in ast.walk(node) if isinstance(inner, ast.Call)}
    reads = [inner for inner in ast.walk(node) if isinstance(inner, ast.Attribute)]
    chained = {inner.attr for inner in reads if not isinstance(inner.value, ast.Name)}
    subject = calls | chained or {inner.attr for inner in reads}
    names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    slack = sum(
        _number(keyword) for inner in ast.walk(node) if isinstance(inner, ast.Call) for keyword in inner.keywords
    )
    return Expectation(text, frozenset(subject or names), strength, slack)


def _number(keyword: ast.keyword) -> float:
    if (
        keyword.arg in _SLACK
        and isinstance(keyword.value, ast.Constant)
        and isinstance(keyword.value.value, int | float)
    ):
        return 10.0**-keyword.value.value if keyword.arg == "places" else float(keyword.value.value)
    return 0.0


def _called(call: ast.Call) -> str:
    func = call.func
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def _patched(call: ast.Call) -> Iterator[str]:
    for argument in call.args[:2]:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            yield argument.value.rpartition(".")[2]


def _is_never(test: ast.expr) -> bool:
    return ast.unparse(test) in ("False", "0", "None", "not True", "TYPE_CHECKING")


def _swallows(handler: ast.ExceptHandler) -> bool:
    caught = ast.unparse(handler.type) if handler.type else "BaseException"
    is_wide = re.search(r"\b(?:AssertionError|Exception|BaseException)\b", caught) is not None
    return is_wide and all(
        isinstance(line, ast.Pass | ast.Continue | ast.Return) or (isinstance(line, ast.Expr) and _says_nothing(line))
        for line in handler.body
    )


def _says_nothing(line: ast.Expr) -> bool:
    return isinstance(line.value, ast.Constant) or (isinstance(line.value, ast.Call) and _called(line.value) == "print")


def _catches(context: ast.expr) -> bool:
    """True for a context in which a failing assertion does not fail the test."""
    if not isinstance(context, ast.Call) or _called(context) not in ("suppress", *_RAISES):
        return False
    return any(re.search(r"AssertionError|\bException|BaseException", ast.unparse(kind)) for kind in context.args)


def _is_marked(decorators: Sequence[ast.expr]) -> bool:
    return any(_skips(decorator) for decorator in decorators)


def _skips(mark: ast.expr) -> bool:
    """True for a mark by which a test never runs, or never counts."""
    called = mark.func if isinstance(mark, ast.Call) else mark
    name = ast.unparse(called).rpartition(".")[2]
    arguments = mark.args if isinstance(mark, ast.Call) else []
    named = {keyword.arg: keyword.value for keyword in mark.keywords} if isinstance(mark, ast.Call) else {}
    condition = named.get("condition") or (arguments[0] if arguments else None)
    if name in ("skip", "expectedFailure"):
        return True
    if name == "xfail":
        return condition is None or _always_skips(condition)
    if name in ("skipif", "skipIf"):
        return condition is not None and _always_skips(condition)
    return name == "skipUnless" and condition is not None and ast.unparse(condition) in ("False", "0", "None")


def _always_skips(condition: ast.expr) -> bool:
    if isinstance(condition, ast.Constant) and isinstance(condition.value, str):
        return condition.value.strip() in _UNCONDITIONAL
    return _is_always(condition)


def _is_fixture(node: _Function) -> bool:
    return any("fixture" in ast.unparse(decorator) for decorator in node.decorator_list)


def _module_is_skipped(module: ast.Module | ast.ClassDef) -> bool:
    for node in module.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="pytestmark")], value=value):
                marks = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
                if _is_marked(marks):
                    return True
            case ast.Assign(targets=[ast.Name(id="__test__")], value=ast.Constant(value=False)):
                return True
            case ast.Expr(value=ast.Call() as call) if _called(call) == "skip":
                return True
            case ast.Raise(exc=ast.Call() as call) if _called(call) == "SkipTest":
                return True
            case _:
                pass
    return False
