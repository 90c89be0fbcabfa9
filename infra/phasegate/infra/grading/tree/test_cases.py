"""Single cases of a parametrised Python test, and its source without one of them.

Called when an amendment names `path::test[case]`, at its sealing and in its grade. Reads and edits text alone. A case
is taken out only if the ids of the other cases stay the same. Ids are computed as pytest computes them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from phasegate.infra.documents.python_source import python_or_none

_CASE = re.compile(r"(?P<test>(?:\w+::)*\w+)\[(?P<case>.+)\]", re.DOTALL)
_INSTEAD = "amend the whole test, with a replacement that keeps the cases that still hold"


@dataclass(frozen=True)
class _Row:
    """A case as it stands in the source."""

    node: ast.expr
    id: str | None
    """Its id; `None` where only a run tells."""
    is_numbered: bool
    """True where its id holds its place in the list, so that it changes with the cases before it."""


@dataclass(frozen=True)
class _Table:
    rows: tuple[_Row, ...]
    ids: tuple[ast.expr, ...] = ()
    """The ids of the rows, where they are listed apart."""


def split_case(path: str, name: str) -> tuple[str, str]:
    """Split a test's name from the case it names.

    Args:
        path: The file's; cases are told apart in Python files alone.
        name: As after `path::`, such as `test_add[1-2]`.

    Returns:
        The test's name and the case's id; an empty id for a whole test.
    """
    match = _CASE.fullmatch(name) if path.endswith(".py") else None
    return (match["test"], match["case"]) if match else (name, "")


def case_problem(text: str, test: str, case: str) -> str:
    """Reason why a case cannot be taken out of its file, with what to do instead, or an empty string if it can.

    Args:
        text: The file's content.
        test: The test's name, as `list_tests` gives it.
        case: The case's id.
    """
    table = _table(text, test)
    if isinstance(table, str):
        return f"{table}; {_INSTEAD}"
    known = [row.id for row in table.rows]
    if known.count(case) != 1:
        listed = ", ".join(id_ for id_ in known if id_ is not None)
        return f"it has no single case {case} that can be found by reading it ({listed or 'none can'}); {_INSTEAD}"
    if any(row.is_numbered for row in table.rows[known.index(case) + 1 :]):
        return f"taking case {case} out would rename cases after it, which are numbered; {_INSTEAD}"
    if len(known) > 1 and without_cases(text, test, {case}) is None:
        return f"case {case} cannot be cut out of its list; {_INSTEAD}"
    return ""


def holds_other_cases(text: str, test: str, cases: Collection[str]) -> bool:
    """True where a test has more cases than these, or where that cannot be told."""
    table = _table(text, test)
    return isinstance(table, str) or any(row.id not in cases for row in table.rows)


def without_cases(text: str, test: str, cases: Collection[str]) -> str | None:
    """A file's content without some cases of a test, or `None` if they cannot be cut out."""
    for case in sorted(cases):
        table = _table(text, test)
        ids = [] if isinstance(table, str) else [row.id for row in table.rows]
        if isinstance(table, str) or case not in ids or len(ids) == 1:
            return None
        number = ids.index(case)
        lists = [[row.node for row in table.rows], *([list(table.ids)] if table.ids else [])]
        shorter = text
        for nodes in sorted(lists, key=lambda nodes: -nodes[0].lineno * 10_000 - nodes[0].col_offset):
            shorter = _cut(shorter, nodes, number)
        after = _table(shorter, test)
        left = [] if isinstance(after, str) else [row.id for row in after.rows]
        if left != [*ids[:number], *ids[number + 1 :]]:
            return None
        text = shorter
    return text


def _cut(text: str, nodes: Sequence[ast.expr], number: int) -> str:
    """A text without one element of a list in it, and without the comma that belongs to it."""
    lines = text.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    spans = [
        (starts[node.lineno - 1] + node.col_offset, starts[(node.end_lineno or 1) - 1] + (node.end_col_offset or 0))
        for node in nodes
    ]
    begin, end = spans[number]
    if number + 1 < len(spans):
        end = spans[number + 1][0]
    elif number:
        begin = spans[number - 1][1]
    content = b"".join(lines)
    return (content[:begin] + content[end:]).decode()


def _table(text: str, test: str) -> _Table | str:
    """The literal table of a test's cases; the reason where there is none."""
    module = python_or_none(text)
    node = None if module is None else _function(module.body, test.split("::"))
    marks = [mark for mark in node.decorator_list if _is_parametrize(mark)] if node else []
    if len(marks) != 1 or not isinstance(marks[0], ast.Call):
        return "its cases do not come from one parametrize alone" if marks else "it is no parametrised function"
    given: dict[str | None, ast.expr] = {keyword.arg: keyword.value for keyword in marks[0].keywords}
    given |= dict(zip(("argnames", "argvalues"), marks[0].args, strict=False))
    values = given.get("argvalues")
    if not isinstance(values, ast.List | ast.Tuple) or {None, "indirect"} & given.keys():
        return "its cases are not a literal list"
    if any(isinstance(value, ast.Starred) for value in values.elts):
        return "its cases are not a literal list"
    if "ids" in given:
        return _table_with_ids(values.elts, given["ids"])
    arguments = given.get("argnames")
    return _Table(tuple(_row(value, arguments, number) for number, value in enumerate(values.elts)))


def _table_with_ids(values: Sequence[ast.expr], ids: ast.expr) -> _Table | str:
    listed = ids.elts if isinstance(ids, ast.List | ast.Tuple) else []
    texts = [id_.value for id_ in listed if isinstance(id_, ast.Constant) and isinstance(id_.value, str)]
    if not len(texts) == len(listed) == len(values):
        return "the ids of its cases are computed"
    pairs = zip(values, texts, strict=True)
    own = [_Row(value, _own_id(value) or _escaped(text), is_numbered=False) for value, text in pairs]
    return _Table(tuple(own), tuple(listed))


def _function(body: Sequence[ast.stmt], names: Sequence[str]) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name == names[0] and len(names) > 1:
            if any(_is_parametrize(mark) for mark in node.decorator_list):
                return None
            return _function(node.body, names[1:])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and [node.name] == list(names):
            return node
    return None


def _is_parametrize(mark: ast.expr) -> bool:
    called = mark.func if isinstance(mark, ast.Call) else mark
    return isinstance(called, ast.Attribute) and called.attr == "parametrize"


def _names(node: ast.expr | None) -> list[str]:
    if isinstance(node, ast.List | ast.Tuple):
        return [name.value for name in node.elts if isinstance(name, ast.Constant) and isinstance(name.value, str)]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [name.strip() for name in node.value.split(",") if name.strip()]
    return []


def _row(node: ast.expr, names: ast.expr | None, number: int) -> _Row:
    if own := _own_id(node):
        return _Row(node, own, is_numbered=False)
    arguments, values = _names(names), list(_values(node))
    if len(arguments) > 1 or not isinstance(names, ast.Constant):
        values = values[0].elts if len(values) == 1 and isinstance(values[0], ast.Tuple | ast.List) else values
    if not arguments or len(values) != len(arguments):
        return _Row(node, None, is_numbered=True)
    parts = [_id_of(value) for value in values]
    named = [f"{name}{number}" if part is None else part for name, part in zip(arguments, parts, strict=True)]
    certain = all(part is not None or _is_numbered(value) for part, value in zip(parts, values, strict=True))
    return _Row(node, "-".join(named) if certain else None, is_numbered=None in parts)


def _own_id(node: ast.expr) -> str:
    """The id that `pytest.param(…, id=…)` gives."""
    given = [keyword.value for keyword in node.keywords if keyword.arg == "id"] if isinstance(node, ast.Call) else []
    texts = [value.value for value in given if isinstance(value, ast.Constant)]
    return _escaped(texts[0]) if texts and isinstance(texts[0], str) else ""


def _values(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call) and _is_param(node):
        yield from node.args
    else:
        yield node


def _is_param(node: ast.Call) -> bool:
    called = node.func
    return (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) == "param"


def _is_numbered(value: ast.expr) -> bool:
    """True for a value that pytest names by its argument and its place."""
    return isinstance(value, ast.List | ast.Tuple | ast.Dict | ast.Set | ast.ListComp | ast.DictComp)


def _id_of(value: ast.expr) -> str | None:
    """A value's part of the id, as pytest spells it, or `None` if its place in the list or a run decides."""
    try:
        plain: object = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError):
        return None
    if isinstance(plain, str) and plain:
        return _escaped(plain)
    return str(plain) if plain is None or isinstance(plain, bool | int | float | complex) else None


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")
