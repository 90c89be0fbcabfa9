"""Copies of sealed Python tests that pass only if what they compare equals clearly different values as well.

Called by `counter_tests`. A test with its expectations made wrong fails as soon as one of them is compared honestly. A
copy goes through all of its comparisons and asks each by itself, with values nearby, too. Like the original, it works
out each side once. It must not know what a passing copy means.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phasegate.infra.grading.tree.bare_source import bare_definitions, filled

Function = ast.FunctionDef | ast.AsyncFunctionDef
_KINDS = ("", "Almost", "List", "Tuple", "Dict", "Set", "Sequence", "MultiLine")
_EQUAL = ("assertEquals", *(f"assert{kind}Equal" for kind in _KINDS))
_REVERSED: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.Gt, ast.LtE: ast.Gt, ast.Gt: ast.Lt, ast.GtE: ast.Lt}
"""Comparisons that fail where these pass."""
_HELPER = Path(__file__).parent / "agreement.py"


@dataclass(frozen=True)
class Copies:
    """Names in the copies of a file."""

    suffix: str
    """Ending of a copy's name, after the original's."""
    helper: str
    """The function that compares."""
    found: str
    """A local list of what was compared."""
    near: bool = True
    """True to compare with values nearby, too: no criterion asks for equality that allows for differences."""

    def of(
        self, function: Function, own_asserts: Collection[str], may_be_matcher: Callable[[ast.expr], bool]
    ) -> Function | None:
        """The copy of a test, or `None` if it compares nothing by itself.

        Args:
            function: The test.
            own_asserts: Names of assertions that its file defines.
            may_be_matcher: Tells if an expression may honestly equal other values, too.
        """
        twin = copy.deepcopy(function)
        twin.name = f"{twin.name}{self.suffix}"
        ends = next((at for at, statement in enumerate(twin.body) if _returns(statement)), len(twin.body))
        asking = _Asking(self, own_asserts, may_be_matcher)
        body = [*ast.parse(f"{self.found} = []").body, *asking.all_of(twin.body[:ends])]
        twin.body = [*body, *ast.parse(f"assert any({self.found})").body, *twin.body[ends:]]
        return twin if asking.count else None

    def helpers(self) -> list[ast.stmt]:
        """Statements that define what the copies call."""
        inner = [*bare_definitions(_HELPER, NEAR=self.near), ast.Return(ast.Name("agrees", ast.Load()))]
        return filled(f"def {self.helper}():\n pass\n{self.helper} = {self.helper}()", inner)


@dataclass
class _Asking(ast.NodeTransformer):
    """Has the comparisons of a test asked one by one, in loops and other blocks, too."""

    names: Copies
    own_asserts: Collection[str]
    may_be_matcher: Callable[[ast.expr], bool]
    count: int = 0

    def all_of(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        """The statements, altered."""
        module: ast.Module = self.visit(ast.Module([*body], []))
        return module.body

    def visit(self, node: ast.AST) -> Any:
        """Alter a statement; functions and classes inside of a test are left as they are."""
        if isinstance(node, Function | ast.Lambda | ast.ClassDef):
            return node
        parts = list(_parts(node, self.own_asserts))
        return list(map(self._asked, parts)) if parts else self.generic_visit(node)

    def _asked(self, part: ast.stmt) -> ast.stmt:
        """A statement that notes if a comparison agrees with anything; the comparison itself, where none is known."""
        sides = _sides(part)
        if sides is None:
            return part
        left, other, reverse = sides
        believed = [place for place, side in enumerate((left, other)) if self.may_be_matcher(side)]
        if believed and reverse is not None:
            return part
        self.count += 1
        if reverse is not None:
            value: ast.expr = ast.Compare(left, [reverse], [other])
        else:
            places = ast.keyword("believed", ast.Tuple([*map(ast.Constant, believed)], ast.Load()))
            value = ast.Call(ast.Name(self.names.helper, ast.Load()), [left, other], [places] if believed else [])
        append = ast.Attribute(ast.Name(self.names.found, ast.Load()), "append", ast.Load())
        return ast.Expr(ast.Call(append, [value], []))


def _returns(node: ast.AST) -> bool:
    """True if a test may end in a statement, before its end."""
    if isinstance(node, Function | ast.Lambda | ast.ClassDef):
        return False
    return isinstance(node, ast.Return) or any(map(_returns, ast.iter_child_nodes(node)))


def _parts(statement: ast.AST, own_asserts: Collection[str]) -> Iterator[ast.stmt]:
    """The assertions that a statement consists of, or none if it is no assertion."""
    match statement:
        case ast.Assert(test=ast.BoolOp(op=ast.And(), values=values), msg=message):
            for value in values:
                yield from _parts(ast.Assert(value, message), own_asserts)
        case ast.Assert():
            yield statement
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=attr))) if (
            attr in _EQUAL and attr not in own_asserts
        ):
            yield statement
        case _:
            pass


def _sides(part: ast.stmt) -> tuple[ast.expr, ast.expr, ast.cmpop | None] | None:
    """Value and expected value of a comparison, and what it is made of in reverse if it is none of equality."""
    match part:
        case ast.Assert(test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right])):
            reverse = None
        case ast.Assert(test=ast.Compare(left=left, ops=[operator], comparators=[right])) if type(
            operator
        ) in _REVERSED and isinstance(right, ast.Constant):
            reverse = _REVERSED[type(operator)]()
        case ast.Expr(value=ast.Call(args=[left, right, *_], keywords=[])):
            reverse = None
        case _:
            return None
    if any(isinstance(side, ast.Starred) for side in (left, right)):
        return None
    if isinstance(left, ast.Constant) and not isinstance(right, ast.Constant) and reverse is None:
        left, right = right, left
    return left, right, reverse
