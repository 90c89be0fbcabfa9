"""The conditions of a metric: `error_rate > 0.05 and requests >= 10`, parsed once and never `eval`ed.

Called by the policy (at load, so that a bad condition costs no run) and by `verdict`. It knows arithmetic and
comparisons and nothing else: no calls, no attributes, no text, and not where the values come from.
"""

from __future__ import annotations

import ast
import difflib
import itertools
import math
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from phasegate.infra.documents.python_source import PYTHON, read_python_expression
from phasegate.infra.errors import DocumentUnreadable

MAX_LENGTH = 300
_BOUNDS = replace(PYTHON, size=MAX_LENGTH, depth=MAX_LENGTH)
PROBE_VALUES = ("requests", "errors", "error_rate", "p50_ms", "p95_ms", "p99_ms", "max_ms")
"""Values that one measurement of a probe yields; the names its conditions may use."""
COMPARED_VALUES = ("error_rate", "latency_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms")
"""Values of a probe that can be compared: errors and times request by request, the others once per measurement."""

_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda left, right: left / right if right else math.nan,
}


class ConditionError(ValueError):
    """The text is no condition; the message says where it departs from one."""


@dataclass(frozen=True)
class Condition:
    """A parsed condition; made by `parse_condition` only."""

    text: str
    tree: ast.expr
    """As Python parses it; only what `parse_condition` lets through."""

    @property
    def names(self) -> list[str]:
        """Names of the values that the condition reads, in their order."""
        nodes = sorted(
            (node for node in ast.walk(self.tree) if isinstance(node, ast.Name)), key=lambda node: node.col_offset
        )
        return list(dict.fromkeys(node.id for node in nodes))

    def holds(self, values: Mapping[str, float]) -> bool | None:
        """Evaluate the condition for these values.

        Returns:
            True if it holds, or `None` if a value that decides is missing or NaN, or something was divided by zero.
            `and` and `or` still decide where the other side settles it (Kleene's logic), so `nan > 1 or 2 > 1` holds.
        """
        return _truth(self.tree, values)


def parse_condition(text: str, names: Collection[str]) -> Condition:
    """Read a condition over the given value names.

    Raises:
        ConditionError: It is too long, no expression, uses something besides comparisons, `and`, `or`, `not`,
            numbers, names and `+ - * /`, names an unknown value, or mixes numbers with yes-or-no.
    """
    if len(text) > MAX_LENGTH:
        raise ConditionError(f"longer than {MAX_LENGTH} characters")
    try:
        tree = read_python_expression(text.strip(), "the condition", _BOUNDS)
    except DocumentUnreadable as error:
        reason = error.reason.removeprefix("it is no Python: ")
        raise ConditionError(
            f"not a condition ({reason}); write for example error_rate > 0.05 and p95_ms < 200"
        ) from error
    _require_truth(tree, names)
    return Condition(text, tree)


def _require_truth(node: ast.expr, names: Collection[str]) -> None:
    match node:
        case ast.BoolOp(values=parts):
            for part in parts:
                _require_truth(part, names)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _require_truth(operand, names)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            if not all(type(op) in _COMPARE for op in ops):
                raise ConditionError("only < <= > >= == != compare")
            for part in (left, *comparators):
                _require_number(part, names)
        case _:
            raise ConditionError(f"`{ast.unparse(node)}` is not a comparison")


def _require_number(node: ast.expr, names: Collection[str]) -> None:
    match node:
        case ast.Constant(value=value) if type(value) in {int, float}:
            return
        case ast.Name(id=name):
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
                raise ConditionError(f"unknown value {name}; {hint}")
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _require_number(operand, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            _require_number(left, names)
            _require_number(right, names)
        case _:
            raise ConditionError(f"`{ast.unparse(node)}` is not a number, a value's name or + - * / of them")


def _truth(node: ast.expr, values: Mapping[str, float]) -> bool | None:
    match node:
        case ast.BoolOp(op=op, values=parts):
            settles = isinstance(op, ast.Or)
            truths = [_truth(part, values) for part in parts]
            if settles in truths:
                return settles
            return None if None in truths else not settles
        case ast.UnaryOp(operand=operand):
            truth = _truth(operand, values)
            return None if truth is None else not truth
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            numbers = [_number(part, values) for part in (left, *comparators)]
            if any(math.isnan(number) for number in numbers):
                return None
            return all(_COMPARE[type(op)](a, b) for op, a, b in zip(ops, numbers, numbers[1:], strict=False))
        case _:
            raise AssertionError(f"parse_condition let {ast.dump(node)} through")


def _number(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return values.get(name, math.nan)
        case ast.UnaryOp(op=op, operand=operand):
            number = _number(operand, values)
            return -number if isinstance(op, ast.USub) else number
        case ast.BinOp(left=left, op=op, right=right):
            return _ARITHMETIC[type(op)](_number(left, values), _number(right, values))
        case _:
            raise AssertionError(f"parse_condition let {ast.dump(node)} through")


def thresholds(condition: Condition) -> tuple[tuple[str, float], ...]:
    """The numbers that single values are held against, in the order written: where a chart has a line to draw.

    What is computed (`errors / requests > 0.1`) has none.
    """
    bounds: list[tuple[str, float]] = []
    for node in ast.walk(condition.tree):
        if isinstance(node, ast.Compare):
            for left, right in itertools.pairwise((node.left, *node.comparators)):
                for name, number in ((left, right), (right, left)):
                    if isinstance(name, ast.Name) and not any(isinstance(part, ast.Name) for part in ast.walk(number)):
                        bounds.append((name.id, _number(number, {})))
    return tuple(dict.fromkeys(bounds))
