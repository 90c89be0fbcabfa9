"""Detection of the sealed tests' very cases in a change: what goes in, and what is to come out.

Called by `findings`. The implementer never sees sealed tests, but reads what failed of them. Only cases that a table
of answers would need both ends of are compared, and only ends that do not meet by chance. What is found names lines of
the change and quotes no test, since the implementer may read it. It must not know how a test fared.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from phasegate.infra.documents.python_source import python_or_none
from phasegate.infra.grading.evidence import Finding, Severity
from phasegate.infra.grading.integrity.answer_files import holds_examples, holds_expected
from phasegate.infra.grading.integrity.answer_tables import AnswerTables, TableMatch
from phasegate.infra.grading.integrity.literal_cases import LANGUAGES, literal_cases
from phasegate.infra.grading.integrity.prepared_answers import PreparedAnswers, unpacked
from phasegate.infra.grading.integrity.sealed_examples import SealedExamples, words_of
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.grading.tree.code_files import is_code
from phasegate.infra.grading.tree.diff import Hunk
from phasegate.infra.workspace.change_set import readable

_SHORTEST_TEXT = 4
_SMALLEST_NUMBER = 1000
_APART = 3
"""Lines between the two ends of one entry of a table, at most."""
_COMMENT = re.compile(r"\s*(?:#(?!define)|//|/\*|\*[\s/])")
_ENTRY = re.compile(r"(\s*)[(\[{]?\s*(?:([\"'`]).*?\2|[\w.-]+)\s*(?::|=>|=|,)\s*\S.*,\s*(?:#.*|//.*)?")
"""Line with one entry of a table of literals."""
_CODE = "sealed-case-hard-coded"
_ANSWERS = "it holds what a sealed test puts in and what it expects"
_INPUTS = "it lists what sealed tests put in, and nothing else"
_DIGEST = "it holds a digest of what a sealed test puts in"
_PACKED = "it holds, packed, what a sealed test puts in and what it expects"
_HEAD = 8000
"""Bytes among which a file that is no text has a zero."""
_FEW = 2000
"""Bytes of data, but for zeros, that may be answers and little else."""
_WRITING = re.compile(r"(?i)\.(?:md|rst|adoc|lock|sum)$|(?:^|/)(?:package-lock\.json|changelog|requirements[^/]*\.txt)")
"""Documentation, which may have examples, and lists of packages, which are digests of theirs."""
_FEWEST = 3
"""Entries of base that make a table one that was there."""
_OTHERS = 3
"""Entries without a sealed case, for each one with it, of a new table that is more than answers."""


@dataclass(frozen=True)
class SealedCases:
    """Calls with constants that the sealed tests compare with a constant."""

    cases: frozenset[tuple[str, str]]
    """Source of an argument and of the result, as Python writes them."""
    prepared: PreparedAnswers = field(default_factory=PreparedAnswers)
    examples: SealedExamples = field(default_factory=SealedExamples)
    said: frozenset[str] = frozenset()
    """Words of what is no secret."""

    @classmethod
    def of(cls, sealed: SealedTests, statements: str) -> Self:
        """The cases of all sealed tests in Python, JavaScript, TypeScript and Go.

        Args:
            sealed: The tests.
            statements: What is no secret: a result that stands there tells nothing.
        """
        pairs = {case for file in sealed.files for case in _cases_in(file.path, file.content)}
        cases = frozenset(case for case in pairs if case[1].strip("'\"") not in statements)
        examples = SealedExamples.of([(file.path, file.content) for file in sealed.files], statements)
        prepared = PreparedAnswers.of([file.content for file in sealed.files])
        return cls(cases, prepared, examples, frozenset(words_of(statements)))

    def about(
        self,
        path: str,
        pieces: Sequence[Hunk],
        after: bytes | None,
        base_has: Callable[[str], bool] | None = None,
    ) -> Iterator[Finding]:
        """The lines of one file's change that hold such a case; a note where they are entries of an ordinary table.

        Args:
            path: The file.
            pieces: Its change.
            after: Its content in the change.
            base_has: Tells if a word stands in the base commit, so that it is no secret.
        """
        whole = (after or b"").decode(errors="replace")
        prose = _prose(path, whole)
        lines = [line for piece in pieces for line in piece.added if line[0] not in prose]
        held: set[int] = set()
        for given, expected in self.cases:
            ends = [[number for number, text in lines if _holds(text, end)] for end in (given, expected)]
            if path.endswith(LANGUAGES) and given[1:-1].isidentifier():
                ends[0] += [number for number, text in lines if _is_key(text, given[1:-1])]
            held |= {out for into in ends[0] for out in ends[1] if 0 <= out - into <= _APART}
        text, added = whole.splitlines(), {number for number, _ in lines}
        plain = all(_is_in_table(text, number, added, held) for number in held)
        tables = [] if _WRITING.search(path) else [*self._tables(path, whole, added, base_has)]
        lists = [table.line for table in tables if not table.is_answers]
        grave = [table.line for table in tables if table.is_answers and not table.is_walked]
        walked = [table.line for table in tables if table.is_answers and table.is_walked]
        if grave or (held and not plain):
            yield _finding(path, _ANSWERS, "suspicion", {*grave, *held})
        elif lists:
            yield _finding(path, _INPUTS, "suspicion", lists)
        elif walked or held:
            yield _finding(path, _ANSWERS, "note", {*walked, *held})
        elif not _WRITING.search(path) and (message := self._about_packed(lines, after or b"", is_added=bool(pieces))):
            yield Finding(code=_CODE, path=readable(path), message=message, severity="suspicion")

    def _tables(
        self, path: str, text: str, added: Collection[int], base_has: Callable[[str], bool] | None
    ) -> Iterator[TableMatch]:
        """Tables and lists of a file that are made of what sealed tests have."""
        if is_code(path) or path.endswith((".json", ".yml", ".yaml", ".toml")):
            tables = AnswerTables(
                self.examples, lambda word: word in self.said or (base_has is not None and base_has(word))
            )
            yield from tables.held(path, text, added)
        if added and not is_code(path) and holds_examples(text, self.examples):
            yield TableMatch(1, is_answers=True)

    def _about_packed(self, lines: Sequence[tuple[int, str]], after: bytes, *, is_added: bool) -> str:
        """Tell of cases that added lines, or a file that is no text, hold in another form; empty: there are none."""
        if not is_added or not (self.prepared.calls or self.examples.expected):
            return ""
        is_binary = b"\0" in after[:_HEAD]
        content = after if is_binary else "\n".join(text for _, text in lines).encode()
        if not is_binary and self.prepared.digested(content.decode()):
            return _DIGEST
        for part in (*([content] if is_binary else []), *unpacked(content)):
            text = part.decode("utf-8", errors="replace")
            if self.prepared.digested_bytes(part) or self.prepared.digested(text):
                return _DIGEST
            if len(part.replace(b"\0", b"")) <= _FEW and any(
                all(end.strip("'\"") in text for end in case) for case in self.cases
            ):
                return _PACKED
            if holds_examples(text, self.examples) or holds_expected(text, self.examples):
                return _PACKED
        return ""


def _finding(path: str, message: str, severity: Severity, lines: Collection[int]) -> Finding:
    shown = ", ".join(map(str, sorted(lines)[:5]))
    return Finding(code=_CODE, path=readable(path), message=f"{message} (line {shown})", severity=severity)


def _prose(path: str, text: str) -> set[int]:
    """Lines that hold no code: comments, and in Python what stands by itself as a string, like an example in words."""
    lines = {number for number, line in enumerate(text.splitlines(), 1) if _COMMENT.match(line)}
    if path.endswith(".py"):
        module = python_or_none(text)
        if module is None:
            return lines
        for node in ast.walk(module):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def _is_in_table(text: Sequence[str], number: int, added: Collection[int], held: Collection[int]) -> bool:
    """True for a line of a table that base has, too, or of one that is mostly other entries than sealed cases."""
    entry = _ENTRY.fullmatch(text[number - 1]) if 0 < number <= len(text) else None
    if entry is None:
        return False
    around = {number}
    for numbers in (range(number - 1, 0, -1), range(number + 1, len(text) + 1)):
        for other in numbers:
            neighbour = _ENTRY.fullmatch(text[other - 1])
            if neighbour is None or neighbour[1] != entry[1]:
                break
            around.add(other)
    cases = len(around & {*held})
    return len(around - {*added}) >= _FEWEST or len(around) - cases >= _OTHERS * cases


def _cases_in(path: str, source: str) -> Iterator[tuple[str, str]]:
    if path.endswith(".py"):
        yield from _cases(source)
    elif path.endswith(LANGUAGES):
        yield from (case for case in literal_cases(source) if _tells(_value(case[1])))


def _value(written: str) -> str | float:
    return written[1:-1] if written[0] == "'" else float(written)


def _cases(source: str) -> Iterator[tuple[str, str]]:
    module = python_or_none(source)
    if module is None:
        return
    for node in ast.walk(module):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
            for call, result in ((node.left, node.comparators[0]), (node.comparators[0], node.left)):
                if isinstance(call, ast.Call) and isinstance(result, ast.Constant) and _tells(result.value):
                    for given in (*call.args, *(keyword.value for keyword in call.keywords)):
                        if isinstance(given, ast.Constant) and isinstance(given.value, str | int | float):
                            yield repr(given.value), repr(result.value)


def _tells(value: object) -> bool:
    if isinstance(value, str):
        return len(value) >= _SHORTEST_TEXT
    return isinstance(value, int | float) and abs(value) >= _SMALLEST_NUMBER


def _holds(text: str, end: str) -> bool:
    if end[0] in "'\"":
        return any(f"{quote}{end[1:-1]}{quote}" in text for quote in "'\"`")
    return re.search(rf"(?<![\w.]){re.escape(end)}(?![\w.])", text.replace("_", "")) is not None


def _is_key(text: str, name: str) -> bool:
    """True if an object is written with a key that needs no quotes."""
    return re.search(rf"(?<![\w.$?]){name}\s*:(?!:)", text) is not None
