"""Mutants of a source file: its text with one small fault in it, which a test that checks anything notices.

Python is changed by its syntax tree, other languages by the text of their lines of code. Called where characterization
tests are tried. It must not know how tests are run. Source: DeMillo, Lipton, Sayward, Hints on Test Data Selection
(IEEE Computer, 1978); the operators are those of Offutt et al., An Experimental Determination of Sufficient Mutant
Operators (1996), and removed statements.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from phasegate.infra.documents.python_source import python_or_none
from phasegate.infra.grading.guards.functions import Function, functions_of, statement_lines

_MOST = 60
"""Mutants made of one file."""


@dataclass(frozen=True)
class Mutant:
    """A file with one fault."""

    path: str
    line: int
    fault: str
    """The fault in a few words, such as `returns nothing`."""
    content: str

    def __str__(self) -> str:
        """As people say it."""
        return f"{self.path}, line {self.line}: {self.fault}"


def mutants_of(path: str, text: str, names: Collection[str] = ()) -> list[Mutant]:
    """Make the mutants of some functions of a file; those that tests notice most easily come first.

    Args:
        path: Tells the language by its suffix.
        text: The file's content.
        names: Functions, with their class or without; none: the whole file.
    """
    functions = [function for function in functions_of(path, text) if any(function.is_called(name) for name in names)]
    make = _python if path.endswith(".py") else _by_line
    mutants = list(dict.fromkeys(islice(make(path, text, functions, whole=not names), _MOST)))
    return [mutant for mutant in mutants if mutant.content != text]


_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def _python(path: str, text: str, functions: Collection[Function], *, whole: bool) -> Iterator[Mutant]:
    module = python_or_none(text)
    if module is None:
        return
    nodes = list(ast.walk(module))
    documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for kind in (_without_result, _with_other_constant, _with_other_operator, _without_statement):
        for number, node in enumerate(nodes):
            line = getattr(node, "lineno", 0)
            if (
                not line
                or id(node) in documentation
                or not (whole or any(function.start <= line <= function.end for function in functions))
            ):
                continue
            mutated = copy.deepcopy(module)
            twin = list(ast.walk(mutated))[number]
            if fault := kind(twin):
                yield Mutant(path, line, fault, ast.unparse(ast.fix_missing_locations(mutated)) + "\n")


def _without_result(node: ast.AST) -> str:
    if not isinstance(node, ast.Return) or node.value is None:
        return ""
    if isinstance(node.value, ast.Constant) and node.value.value is None:
        return ""
    node.value = ast.Constant(None)
    return "returns nothing"


def _with_other_constant(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        node.values.append(ast.Constant("x"))
        return "another text"
    if not isinstance(node, ast.Constant) or node.value is None or node.value is Ellipsis:
        return ""
    match node.value:
        case bool(value):
            node.value = not value
        case int(value) | float(value):
            node.value = value + 1
        case str(value):
            node.value = f"{value}x"
        case _:
            return ""
    return "another constant"


def _with_other_operator(node: ast.AST) -> str:
    if isinstance(node, ast.Compare) and (swap := _SWAPS.get(type(node.ops[0]))):
        node.ops[0] = swap()  # type: ignore[call-overload]  # comparisons are swapped for comparisons
        return "the opposite comparison"
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and (swap := _SWAPS.get(type(node.op))):
        node.op = swap()  # type: ignore[assignment]  # operators are swapped for operators of their kind
        return "another operator"
    return ""


def _without_statement(node: ast.AST) -> str:
    for field in ("body", "orelse"):
        value: Any = getattr(node, field, None)
        block = cast("list[ast.stmt]", value if isinstance(value, list) else [])
        for at, statement in enumerate(block):
            is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if isinstance(statement, ast.Expr | ast.Assign | ast.AugAssign | ast.Raise | ast.Delete) and not is_text:
                block[at] = ast.Pass()
                return f"without the statement in line {statement.lineno}"
    return ""


_COMPARED = {
    "===": "!==",
    "!==": "===",
    "==": "!=",
    "!=": "==",
    "<": ">=",
    ">=": "<",
    ">": "<=",
    "<=": ">",
}
_OPERATED = {"&&": "||", "||": "&&", "+": "-", "-": "+", "*": "/", "/": "*", "%": "*"}


def _longer(match: re.Match[str]) -> str:
    return f"{match['open']}{match['text']}x{match['open']}"


_Swap = Callable[[re.Match[str]], str]
_REPLACEMENTS: tuple[tuple[str, re.Pattern[str], _Swap], ...] = (
    ("another text", re.compile(r"(?P<open>[\"'`])(?P<text>(?:\\.|(?!(?P=open)).)+)(?P=open)"), _longer),
    ("another number", re.compile(r"(?<![\w.])(\d{1,300})(?![\w.])"), lambda m: str(int(m[1]) + 1)),
    ("the opposite truth", re.compile(r"\b(true|false)\b"), lambda m: {"true": "false", "false": "true"}[m[1]]),
    ("the opposite comparison", re.compile(r" (===|!==|==|!=|<=|>=|<|>) "), lambda m: f" {_COMPARED[m[1]]} "),
    ("another operator", re.compile(r" (&&|\|\||\+|-|\*|/|%) "), lambda m: f" {_OPERATED[m[1]]} "),
    ("returns nothing", re.compile(r"\breturn\b [^;{]+(?P<end>;?)$"), lambda m: f"return null{m['end']}"),
)
_STATEMENT = re.compile(r"^\s*(?!return\b|import\b|use\b|package\b)[\w$.]+(?:\(.*\)|\s*(?:[-+*/]?=)\s.*[^{(\[,]);?\s*$")
_LOADS = re.compile(r"\b(?:import|require|include|from|use|package)\b")


def _by_line(path: str, text: str, functions: Collection[Function], *, whole: bool) -> Iterator[Mutant]:
    lines = text.splitlines(keepends=True)
    own = [
        number
        for number in sorted(statement_lines(path, text))
        if (whole or any(function.start <= number <= function.end for function in functions))
        and not _LOADS.search(lines[number - 1])
    ]
    for fault, pattern, swap in _REPLACEMENTS:
        for number in own:
            bare = lines[number - 1].rstrip("\r\n")
            if match := pattern.search(bare):
                mutated = bare[: match.start()] + swap(match) + bare[match.end() :]
                yield _with_line(path, lines, number, fault, mutated)
    for number in own:
        if _STATEMENT.match(lines[number - 1].rstrip("\r\n")):
            yield _with_line(path, lines, number, "without its statement", "")


def _with_line(path: str, lines: list[str], number: int, fault: str, mutated: str) -> Mutant:
    whole = lines[number - 1]
    end = whole[len(whole.rstrip("\r\n")) :]
    return Mutant(path, number, fault, "".join([*lines[: number - 1], mutated + end, *lines[number:]]))
