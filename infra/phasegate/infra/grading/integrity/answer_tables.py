"""Tables in product code that consist of sealed tests' examples, and lists of what the tests put in.

Called by `hard_coded`. An honest table has other entries for the most part, is iterated over, or is spelled in a
criterion. A table is told by its entries alone: right answers are not known here. It must not know how a test fared.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from phasegate.infra.grading.integrity.literal_tree import Group, Node, Token, groups, is_plain, is_sign, leaves, parse
from phasegate.infra.grading.integrity.sealed_examples import SealedExamples, is_telling

_FEWEST, _FEWEST_TELLING, _SHARE = 3, 2, 0.8
_FEWEST_NUMBERS, _SHARE_OF_WORDS = 2, 0.6
_COVERED = 0.2
"""Share of a table of sealed examples that answers at hand have at least: the tests must pass by them."""
_APART = 4
"""Lines between two branches of one chain, at most."""
_TOO_LONG = 2000
"""Characters of a text that may be answers and little else."""
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_USUAL_FACTORS = (60, 24, 7, 1024, 365, 360)
_STATUSES = range(100, 600)
_PRINTABLE = re.compile(rb"[ -~\s]+")
_NAME = re.compile(r"([A-Za-z_$][\w$]*)\s*(?::[^=\n]*)?:?=(?!=)")
_EQUAL = ("==", "===", "is", "case")
_RESULTS = ("return", "=>", "?", "yield", "=", ":=", "->")
_WORDS = re.compile(r"\((?:\?:)?((?:[\w -]+\|)+[\w -]+)\)")
"""Alternatives of a regular expression."""


Entry = tuple[str, ...]


def _spelled(decode: Callable[[str], bytes]) -> Callable[[Entry], Entry]:
    """Decoder of each literal of an entry; one that it cannot decode stays as it is."""

    def decoded(literal: str) -> str:
        try:
            content = decode(literal)
        except (binascii.Error, ValueError):
            return literal
        return content.decode() if _PRINTABLE.fullmatch(content) else literal

    return lambda entry: tuple(map(decoded, entry))


_FORMS: tuple[Callable[[Entry], Entry], ...] = (
    lambda entry: entry,
    _spelled(lambda literal: base64.b64decode(literal, validate=True)),
    _spelled(bytes.fromhex),
    _spelled(lambda literal: literal[::-1].encode()),
    _spelled(lambda literal: codecs.encode(literal, "rot13").encode()),
)
"""Ways in which literals may be spelled."""


@dataclass(frozen=True)
class Table:
    """Entries that stand together."""

    name: str
    entries: tuple[tuple[int, Entry], ...]
    """First line and literals of each."""


@dataclass(frozen=True)
class TableMatch:
    """Line of a table or list that is made of literals of sealed tests."""

    line: int
    is_answers: bool
    """True for inputs with what is expected; else they are inputs alone."""
    is_walked: bool = False
    """True if code goes through all of the table, and looks nothing up in it."""


@dataclass(frozen=True)
class AnswerTables:
    """Tables and lists of one file of a change."""

    known: SealedExamples
    is_public: Callable[[str], bool]
    """Tells if a criterion or the base commit has a word, so that it is no secret of the sealed tests."""

    def held(self, path: str, text: str, added: Collection[int]) -> Iterator[TableMatch]:
        """The tables of a file that are made of sealed examples, and lists of their inputs.

        Args:
            path: The file.
            text: Its content in the change.
            added: Lines that the change adds, but for comments and docstrings.
        """
        if not added:
            return
        top = parse(text, path)
        for table in (*_tables(top, text), *_chains(top), *_packed_texts(top)):
            if (line := self._line_of_answers(table, added)) is not None:
                yield TableMatch(line, is_answers=True, is_walked=_is_walked(table.name, text))
        for line, values in (*_lists(top), *_compared(top), *_alternatives(top)):
            if line in added and self._is_of_inputs(values):
                yield TableMatch(line, is_answers=False)

    def _line_of_answers(self, table: Table, added: Collection[int]) -> int | None:
        """First line that the change adds of a table of sealed examples, or `None` if it is no such table."""
        new = [(line, entry) for line, entry in table.entries if line in added]
        for form in _FORMS if len(new) >= _FEWEST else ():
            examples = [(line, form(entry)[0], self.known.holding(form(entry))) for line, entry in new]
            matching = [(line, key, example) for line, key, example in examples if example]
            telling = [key for _, key, _ in matching if is_telling(key)]
            is_most = len(matching) >= _SHARE * len(table.entries)
            if len(matching) >= _FEWEST and len(telling) >= _FEWEST_TELLING and is_most:
                covered = Counter(example.source for example in {example for _, _, example in matching})
                if any(count >= _COVERED * self.known.sizes[source] for source, count in covered.items()):
                    return matching[0][0]
        return new[0][0] if new and self._is_of_numbers([entry for _, entry in table.entries]) else None

    def _is_of_numbers(self, literals: Sequence[tuple[str, ...]]) -> bool:
        """True for numbers that stand for expected numbers, neither of which a unit or a code explains."""
        expected = set(filter(_is_unusual, self.known.expected))
        pairs = [entry for entry in literals if len(entry) == 2 and _is_large(entry[0])]
        answers = [pair[1] for pair in pairs if pair[1] in expected]
        if len({*answers}) < _FEWEST_NUMBERS or len(answers) < _SHARE * len(literals):
            return False
        return not any(map(self.is_public, answers))

    def _is_of_inputs(self, values: Sequence[str]) -> bool:
        """True for all of what the tests put in at one place, at least one of which nobody else has said."""
        distinct = {*map(_bare, values)}
        telling = {value for value in distinct if _is_word(value)}
        if len(telling) < _FEWEST or len(telling) < _SHARE_OF_WORDS * len(distinct):
            return False
        columns = [{*map(_bare, column)} for column in self.known.columns]
        if not any(len(column) >= _FEWEST and column <= distinct for column in columns):
            return False
        return distinct <= set().union(*columns) and any(not self.is_public(value) for value in values)


def _bare(value: str) -> str:
    """A value without blanks and hyphens, in small letters."""
    return re.sub(r"[\s_-]", "", value).lower()


def _is_word(value: str) -> bool:
    """True for a word or a number that no unit or code explains."""
    return _is_unusual(value) if _NUMBER.fullmatch(value) else len(value) > 1


def _tables(top: Group, text: str) -> Iterator[Table]:
    lines = text.splitlines()
    small: list[tuple[int, Entry]] = []
    for group in groups(top):
        rows = [(part[0].line, entry) for part in group.parts() if (entry := _entry(part))]
        is_table = bool(rows) and len(rows) >= _SHARE * len([*group.parts()])
        if is_table and len(rows) >= _FEWEST:
            yield Table(_name_at(lines, group.line), tuple(rows))
            continue
        small += rows if is_table else []
        yield from _chained(_loose_rows(group))
    yield from _chained(sorted(small))
    flat = [(group, values) for group in groups(top) if len(values := _flat(group)) >= _FEWEST]
    for (first, keys), (other, values) in pairwise(flat):
        if len(keys) == len(values) and 0 <= other.line - first.end <= _APART:
            entries = tuple((first.line, pair) for pair in zip(keys, values, strict=True))
            yield Table(_name_at(lines, first.line), entries)


def _loose_rows(group: Group) -> list[tuple[int, Entry]]:
    """Literals of brackets that stand in the lines of one block: calls, members of an enumeration."""
    rows = [node for node in group.nodes if isinstance(node, Group) and is_plain(node.nodes)]
    return [(row.line, tuple(values)) for row in rows if len(values := leaves(row.nodes)) >= 2]


def _entry(part: Sequence[Node]) -> tuple[str, ...]:
    """Literals of a key with a value, or of a row; empty: it is neither."""
    values = leaves(part) if is_plain(part) else []
    if len(values) < 2:
        return ()
    has_key = len(part) > 2 and any(is_sign(part[1], sign) for sign in (":", "=>", "="))
    has_long_key = isinstance(part[0], Group) and len(part) > 2 and is_sign(part[1], ":")
    is_row = isinstance(part[-1], Group) and len([*part[-1].parts()]) >= 2
    return tuple(values) if has_key or has_long_key or is_row else ()


def _flat(group: Group) -> list[str]:
    """Values of a group of nothing but literals."""
    parts = [*group.parts()]
    if not group.opening or not all(len(part) == 1 and isinstance(part[0], Token) for part in parts):
        return []
    cells = [part[0] for part in parts]
    return [cell.text for cell in cells if isinstance(cell, Token)] if all(map(_is_literal, cells)) else []


def _is_literal(node: Node) -> bool:
    return isinstance(node, Token) and node.is_literal


def _chains(top: Group) -> Iterator[Table]:
    """Branches that compare with a literal and give another one, and places that are given one, as tables."""
    places = sorted(place for group in groups(top) for place in _assigned(group.nodes))
    yield from _chained(places)
    yield from _chained(
        sorted(_branches([node for group in groups(top) for node in group.nodes if isinstance(node, Token)]))
    )


def _assigned(nodes: Sequence[Node]) -> Iterator[tuple[int, Entry]]:
    """Index and value of each place that is given a literal."""
    for index, sign, value in zip(nodes, nodes[1:], nodes[2:], strict=False):
        if isinstance(index, Group) and index.opening == "[" and is_sign(sign, "=") and is_plain([value]):
            yield index.line, (*leaves(index.nodes), *leaves([value]))


def _chained(entries: Sequence[tuple[int, Entry]]) -> Iterator[Table]:
    """Entries that follow each other closely, as tables."""
    chain: list[tuple[int, Entry]] = []
    for entry in entries:
        if chain and entry[0] - chain[-1][0] > _APART:
            yield Table("", tuple(chain))
            chain = []
        chain.append(entry)
    if chain:
        yield Table("", tuple(chain))


def _branches(tokens: list[Token]) -> Iterator[tuple[int, Entry]]:
    ordered = sorted(tokens, key=lambda token: token.place)
    for at, token in enumerate(ordered):
        before = ordered[at - 1].text if at else ""
        if not token.is_literal or before not in _EQUAL:
            continue
        if (answer := _answer_before(ordered[max(0, at - 6) : at])) is not None:
            yield token.line, (token.text, answer.text)
            continue
        following = [other for other in ordered[at + 1 : at + 12] if other.line - token.line <= 2]
        begins = next((number for number, other in enumerate(following) if other.text in _RESULTS), None)
        if begins is None:
            continue
        answers = [other for other in following[begins + 1 :] if other.is_literal][:1]
        if answers:
            yield token.line, (token.text, answers[0].text)


def _answer_before(tokens: Sequence[Token]) -> Token | None:
    """The literal of `literal if thing == key`."""
    for literal, word in pairwise(tokens):
        if literal.is_literal and word.text == "if" and word.line == literal.line:
            return literal
    return None


def _packed_texts(top: Group) -> Iterator[Table]:
    """Lines or pieces of a text, each with an input and what comes out."""
    for group in groups(top):
        for node in group.nodes:
            if not (isinstance(node, Token) and node.kind == "text" and 20 <= len(node.text) <= _TOO_LONG):
                continue
            for between in ("\n", ";", "|", ",", None):
                pieces = [piece for piece in node.text.split(between) if piece.strip()]
                pairs = [_pair(piece.strip()) for piece in pieces]
                if len(pairs) >= _FEWEST and all(len(pair) == 2 for pair in pairs):
                    yield Table("", tuple((node.line, pair) for pair in pairs))


def _pair(piece: str) -> tuple[str, ...]:
    """Parts between signs; else a number and the word that it stands before or behind."""
    parts = tuple(re.split(r"\s*(?:=>|->|[=:>\t/])\s*", piece))
    match = re.fullmatch(r"(-?\d+)(\D+)|(\D+?)(-?\d+)", piece) if len(parts) == 1 else None
    return tuple(part for part in match.groups() if part) if match else parts


def _lists(top: Group) -> Iterator[tuple[int, list[str]]]:
    for group in groups(top):
        values = _flat(group) if group.opening in ("[", "{", "(") else []
        rows = [*group.parts()] if group.opening == "{" else []
        keys = [row[0] for row in rows if len(row) > 2 and is_sign(row[1], ":")]
        if len(values) >= _FEWEST:
            yield group.line, values
        elif len(keys) >= _FEWEST and len(keys) == len([*group.parts()]):
            yield group.line, [key.text for key in keys if isinstance(key, Token)]


def _compared(top: Group) -> Iterator[tuple[int, list[str]]]:
    """Literals that one thing is compared with in a row."""
    for group in groups(top):
        tokens: list[Token] = []
        for before, node in pairwise(group.nodes):
            is_compared = isinstance(before, Token) and before.text in ("==", "===", "case")
            is_listed = bool(tokens) and is_sign(before, ",")
            if isinstance(node, Token) and node.is_literal and (is_compared or is_listed):
                if tokens and node.line - tokens[-1].line > _APART:
                    yield tokens[0].line, [token.text for token in tokens]
                    tokens = []
                tokens.append(node)
        if tokens:
            yield tokens[0].line, [token.text for token in tokens]


def _alternatives(top: Group) -> Iterator[tuple[int, list[str]]]:
    """Words that a regular expression or a text lists."""
    for group in groups(top):
        for node in group.nodes:
            if not isinstance(node, Token) or node.kind not in ("text", "pattern") or len(node.text) > _TOO_LONG:
                continue
            for match in _WORDS.finditer(node.text):
                yield node.line, match[1].split("|")
            for between in (None, ",", "|"):
                pieces = [piece.strip() for piece in node.text.split(between)]
                if len(pieces) >= _FEWEST:
                    yield node.line, pieces


def _is_large(value: str) -> bool:
    """True for a number that is no small one and no code of HTTP."""
    return _NUMBER.fullmatch(value) is not None and abs(float(value)) >= 100 and float(value) not in _STATUSES


def _is_unusual(value: str) -> bool:
    """True for a number that is no round one, no code of HTTP, and no measure of time or memory."""
    if not _is_large(value) or "." in value:
        return False
    number = abs(int(value))
    is_round = len(str(number).rstrip("0")) <= 2
    is_power = number & (number - 1) == 0 or number & (number + 1) == 0
    rest = number
    for factor in _USUAL_FACTORS:
        while rest % factor == 0:
            rest //= factor
    return not is_round and not is_power and rest != 1


def _name_at(lines: Sequence[str], line: int) -> str:
    match = _NAME.search(lines[line - 1]) if 0 < line <= len(lines) else None
    return match[1] if match else ""


def _is_walked(name: str, text: str) -> bool:
    """True if code goes through a table without comparing its keys, and never looks anything up in it."""
    if not name:
        return False
    word = rf"(?<![\w$]){re.escape(name)}(?![\w$])"
    walk = re.compile(
        rf"\bfor\b[^\n]*\b(?:in|of|range)\b[^\n]*{word}|{word}\.(?:map|forEach|reduce|items|entries|iter)\b"
        rf"|\b(?:entries|zip|enumerate|reversed|sorted|bisect\w*)\([^\n]*{word}"
    )
    looks_up = re.compile(rf"{word}(?:\.get\(|\.has\(|\[)|^(?!.*\bfor\b).*\bin\s+{word}", re.MULTILINE)
    lines = text.splitlines()
    walks = [number for number, line in enumerate(lines) if walk.search(line)]
    compares = any("==" in line for number in walks for line in lines[number : number + _APART])
    return bool(walks) and not compares and not looks_up.search(text)
