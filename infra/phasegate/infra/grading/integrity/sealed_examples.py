"""Examples in sealed tests: literals that go in and come out together, in rows of a table or in one statement.

Called by `answer_tables`. The text alone is read, whatever its language is: which of the literals goes in, it seldom
tells. It must not know how a test fared.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Self

from phasegate.infra.grading.integrity.literal_tree import Group, Node, Token, groups, is_plain, is_sign, leaves, parse

_MOST_LITERALS = 16
_MOST_EXAMPLES = 2000
_FEWEST_ROWS = 2
_LONG_ENOUGH, _LARGE_ENOUGH = 3, 13
_EQUAL = ("==", "===", "!=", "!==")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Example:
    """Literals that belong together."""

    literals: tuple[str, ...]
    source: str = ""
    """Table that it is a row of, or file that it is a statement of."""

    @cached_property
    def counts(self) -> Counter[str]:
        """Number of times that each literal is there."""
        return Counter(self.literals)

    def has_joined(self, key: str, *values: str) -> bool:
        """True if a text is made of the first literals, with signs between them, and values are among the others."""
        rest, count = key, 0
        for literal in self.literals:
            if literal and literal in rest:
                rest, count = rest.replace(literal, "", 1), count + 1
        is_whole = count > 1 and not any(map(str.isalnum, rest))
        return is_whole and Counter(values) <= Counter(self.literals[count:])


@dataclass(frozen=True)
class SealedExamples:
    """Literals that sealed tests give to a change's code, and that they expect of it."""

    examples: tuple[Example, ...] = ()
    expected: frozenset[str] = frozenset()
    """Literals that stand last: behind a comparison, or in the last part of a row or call."""
    columns: tuple[frozenset[str], ...] = ()
    """Different literals at each place: an argument of one function, a column of a table, a list."""
    by_literal: dict[str, list[Example]] = field(default_factory=dict[str, list[Example]])

    @cached_property
    def sizes(self) -> Counter[str]:
        """Number of examples of each source."""
        return Counter(example.source for example in self.examples)

    @classmethod
    def of(cls, files: Sequence[tuple[str, str]], statements: str) -> Self:
        """The examples of some tests.

        Args:
            files: Path and text of each.
            statements: What is no secret: an example that stands there tells nothing.
        """
        public = set(words_of(statements))
        examples: dict[tuple[str, ...], Example] = {}
        expected: set[str] = set()
        columns: dict[tuple[str, ...], set[str]] = {}
        for path, text in files:
            top = parse(text, path)
            for table, parts in _examples(top):
                literals = tuple(leaves([node for part in parts for node in part]))
                expected.update(leaves(parts[-1]))
                is_example = len(parts) > 1 and 2 <= len(literals) <= _MOST_LITERALS
                if is_example and not public.issuperset(literals) and len(examples) < _MOST_EXAMPLES:
                    examples.setdefault(literals, Example(literals, f"{path}:{table or len(literals)}"))
            for place, value in _places(top):
                columns.setdefault((path, *place), set()).add(value)
        by_literal: dict[str, list[Example]] = {}
        for example in examples.values():
            for literal in set(example.literals):
                by_literal.setdefault(literal, []).append(example)
        return cls(
            tuple(examples.values()), frozenset(expected - public), tuple(map(frozenset, columns.values())), by_literal
        )

    def holding(self, literals: Sequence[str]) -> Example | None:
        """The example that has all of some literals, or `None`."""
        if len(literals) < 2:
            return None
        needed = Counter(literals)
        whole = next((example for example in self.by_literal.get(literals[0], ()) if needed <= example.counts), None)
        return whole or next(
            (example for example in self.by_literal.get(literals[-1], ()) if example.has_joined(*literals)), None
        )


def is_telling(literal: str) -> bool:
    """True for a text or number that does not stand in two places by chance so easily."""
    if _NUMBER.fullmatch(literal):
        return abs(float(literal)) >= _LARGE_ENOUGH or "." in literal
    return len(literal) >= _LONG_ENOUGH


def words_of(text: str) -> list[str]:
    """Words and numbers of a text."""
    return re.findall(r"[\w.]*\w", text)


def _examples(top: Group) -> Iterator[tuple[str, list[list[Node]]]]:
    """Name of the table of each example, empty for a statement, and its parts, the expected one last."""
    in_tables: set[int] = set()
    calls = {id(node) for group in groups(top) for before, node in pairwise(group.nodes) if _is_call(before, node)}
    for group in groups(top):
        rows = [*group.parts()] if group.opening and id(group) not in in_tables and id(group) not in calls else []
        if len(rows) >= _FEWEST_ROWS and all(_is_row(row) for row in rows):
            in_tables.update(map(id, groups(group)))
            yield from ((f"table {group.line}", _parts_of_row(row)) for row in rows)
    for statement in _statements(top.nodes):
        inner = (group for node in statement if isinstance(node, Group) for group in groups(node))
        parts = _parts_of_statement(statement)
        if parts and not any(id(group) in in_tables for group in inner):
            yield "", parts


def _is_call(before: Node, node: Node) -> bool:
    return isinstance(before, Token) and before.kind == "word" and isinstance(node, Group) and node.opening == "("


def _is_row(part: Sequence[Node]) -> bool:
    """True for a row of a table: a group of several literals, or a key with a value."""
    if not is_plain(part):
        return False
    if len(part) > 1 and isinstance(part[0], Token) and is_sign(part[1], ":"):
        return len(leaves(part)) >= 2
    return isinstance(part[-1], Group) and len([*part[-1].parts()]) >= 2 and len(leaves(part)) >= 2


def _parts_of_row(row: Sequence[Node]) -> list[list[Node]]:
    if len(row) > 1 and isinstance(row[0], Token) and is_sign(row[1], ":"):
        return [[row[0]], list(row[2:])]
    return [*row[-1].parts()] if isinstance(row[-1], Group) else []


def _statements(nodes: Sequence[Node]) -> Iterator[list[Node]]:
    """Pieces of a program that stand on lines of their own, in blocks, too. A block is no part of its statement."""
    statement: list[Node] = []
    for node in nodes:
        previous = statement[-1] if statement else None
        is_new_line = previous is not None and node.line > previous.end and not is_sign(node, ".")
        if is_sign(node, ";") or is_new_line:
            yield statement
            statement = []
        if isinstance(node, Group) and any(map(_is_block, groups(node))):
            yield from _statements(node.nodes)
        elif not is_sign(node, ";"):
            statement.append(node)
    yield statement


def _is_block(group: Group) -> bool:
    return group.opening == "{" and not is_plain(group.nodes)


def _parts_of_statement(statement: Sequence[Node]) -> list[list[Node]]:
    """Nodes before and behind the last comparison; else the parts of the call that has several."""
    for at in range(len(statement) - 1, -1, -1):
        node = statement[at]
        if isinstance(node, Token) and node.text in _EQUAL:
            return [list(statement[:at]), list(statement[at + 1 :])]
    calls = [node for node in statement if isinstance(node, Group) and node.opening == "("]
    if len(calls) > 1:
        return [[call] for call in calls]
    parts = [*calls[0].parts()] if calls else []
    return parts if len(parts) > 1 else []


def _places(top: Group) -> Iterator[tuple[tuple[str, ...], str]]:
    """Place of each literal, and the literal."""
    for group in groups(top):
        before: Node | None = None
        for node in group.nodes:
            if isinstance(node, Group) and node.opening == "(" and isinstance(before, Token) and before.kind == "word":
                yield from _arguments(node, before.text)
            before = node
        parts = [*group.parts()]
        if group.opening == "[" and len(parts) > 1:
            for part in parts:
                yield from _cells(group, part)


def _arguments(call: Group, name: str) -> Iterator[tuple[tuple[str, ...], str]]:
    for number, part in enumerate(call.parts()):
        if len(part) == 1 and isinstance(part[0], Token) and part[0].is_literal:
            yield ("argument", name, str(number)), part[0].text


def _cells(group: Group, part: Sequence[Node]) -> Iterator[tuple[tuple[str, ...], str]]:
    table = str(group.line)
    if len(part) == 1 and isinstance(part[0], Token) and part[0].is_literal:
        yield ("list", table), part[0].text
    elif isinstance(part[-1], Group):
        for number, cell in enumerate(part[-1].parts()):
            values = leaves(cell)
            if len(values) == 1:
                yield ("column", table, str(number)), values[0]
