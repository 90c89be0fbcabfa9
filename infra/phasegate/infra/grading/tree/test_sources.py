"""Tests as they stand in a test file's text: name and place of each.

Called when amendments are sealed and graded: an amended test is named as `path::name`. Reads text alone and runs
nothing. A test whose name is computed while the tests run cannot be found here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from phasegate.infra.documents.python_source import python_or_none

_LARGEST = 2_000_000
"""Characters of the largest test file that is looked into."""
_NODE = re.compile(r".*\.[cm]?[jt]sx?")
_NODE_TEST = re.compile(
    r"(?<![\w.$])(?:(?:t|tap|tape)\.)?(?:it|test|specify)(?:\.(?:only|skip|serial|failing|concurrent|sequential))?\s*\(\s*"
    r"(?P<quote>['\"`])(?P<title>(?:\\.|(?!(?P=quote))[^\\\n])*)(?P=quote)"
)
_GO_TEST = re.compile(r"(?m)^func (?P<title>(?:Test|Example|Fuzz|Benchmark)\w*)\(")
_ANNOTATED = {
    ".java": re.compile(r"^[ \t]*@(?:ParameterizedTest|RepeatedTest|TestFactory|Test)\b"),
    ".kt": re.compile(r"^[ \t]*@(?:ParameterizedTest|RepeatedTest|TestFactory|Test)\b"),
    ".rs": re.compile(r"^[ \t]*#\[(?:\w+::)*test\b"),
}
_METHOD = {
    ".java": re.compile(r"\b(?P<title>\w+)\s*\("),
    ".kt": re.compile(r"\bfun\s+(?:`(?P<quoted>[^`]+)`|(?P<title>\w+))\s*\("),
    ".rs": re.compile(r"\bfn\s+(?P<title>\w+)\s*\("),
}


@dataclass(frozen=True)
class TestSource:
    """A test in a file."""

    __test__ = False  # pytest would take it for a test

    name: str
    """As it is named after `path::`: `test_greet`, `TestGreet::test_name`, a title."""
    start: int
    """First character, decorators and comments right above it included."""
    end: int
    """Character after its last line."""


def list_tests(path: str, text: str) -> tuple[TestSource, ...]:
    """Find the tests of a file.

    Args:
        path: Tells the language by its suffix.
        text: The file's content.

    Returns:
        The tests in the order they stand; none for a language that is not known, or a text that cannot be read.
    """
    if len(text) > _LARGEST:
        return ()
    suffix = "." + path.rpartition(".")[2]
    if suffix == ".py":
        return tuple(_python(text))
    if suffix == ".go":
        return tuple(_go(text))
    if suffix in _ANNOTATED:
        return tuple(_annotated(text, suffix))
    return tuple(_node(text)) if _NODE.fullmatch(path) else ()


def _python(text: str) -> Iterator[TestSource]:
    module = python_or_none(text)
    if module is None:
        return
    lines = _line_starts(text)

    def visit(body: list[ast.stmt], prefix: str) -> Iterator[TestSource]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                yield TestSource(f"{prefix}{node.name}", lines[first - 1], lines[(node.end_lineno or first)])
            elif isinstance(node, ast.ClassDef):
                yield from visit(node.body, f"{prefix}{node.name}::")

    yield from visit(module.body, "")


def inherited_names(path: str, name: str, text: str) -> tuple[str, ...]:
    """Names under which a method runs besides its own: those of the file's classes that inherit it.

    Args:
        path: Tells the language by its suffix.
        name: As after `path::`, with its class.
        text: The file's content.
    """
    owner, _, method = name.rpartition("::")
    module = python_or_none(text) if path.endswith(".py") and owner else None
    classes = [node for node in module.body if isinstance(node, ast.ClassDef)] if module else []
    heirs = {owner.rpartition("::")[2]}
    for node in classes:  # a class stands after its bases
        own = {inner.name for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)}
        bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        heirs |= {node.name} if bases & heirs and method not in own else set()
    return tuple(f"{node.name}::{method}" for node in classes if node.name in heirs and node.name != owner)


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in text.split("\n"):
        starts.append(min(len(text), starts[-1] + len(line) + 1))
    return starts


def _node(text: str) -> Iterator[TestSource]:
    for match in _NODE_TEST.finditer(text):
        end = end_of_call(text, text.index("(", match.start()))
        if end is not None:
            start = text.rfind("\n", 0, match.start()) + 1
            if text[start : match.start()].strip():
                continue  # not a statement of its own
            yield TestSource(re.sub(r"\\(.)", r"\1", match["title"]), start, _line_end(text, end))


def end_of_call(text: str, opening: int) -> int | None:
    """The character after the bracket that closes the one at `opening`; strings, comments and regexes are skipped."""
    depth, at = 0, opening
    while at < len(text):
        character = text[at]
        if character in "'\"`":
            at = _after_string(text, at)
            continue
        if text.startswith("//", at):
            at = text.find("\n", at) if "\n" in text[at:] else len(text)
            continue
        if text.startswith("/*", at):
            closing = text.find("*/", at + 2)
            at = len(text) if closing < 0 else closing + 2
            continue
        if character == "/" and re.search(r"[(,=:\[!&|?{};\n]\s*$", text[max(0, at - 40) : at]):
            at = _after_regex(text, at)
            continue
        depth += (character in "([{") - (character in ")]}")
        at += 1
        if depth == 0:
            return at
    return None


def _after_string(text: str, at: int) -> int:
    quote, at = text[at], at + 1
    while at < len(text):
        if text[at] == "\\":
            at += 2
        elif quote == "`" and text.startswith("${", at):
            inner = end_of_call(text, at + 1)
            at = len(text) if inner is None else inner
        elif text[at] == quote or (quote != "`" and text[at] == "\n"):
            return at + 1
        else:
            at += 1
    return at


def _after_regex(text: str, at: int) -> int:
    at, in_class = at + 1, False
    while at < len(text) and text[at] != "\n":
        if text[at] == "\\":
            at += 1
        elif text[at] == "/" and not in_class:
            return at + 1
        else:
            in_class = text[at] == "[" or (in_class and text[at] != "]")
        at += 1
    return at


def _line_end(text: str, at: int) -> int:
    rest = re.compile(r"[ \t]*;?[ \t]*(?://[^\n]*)?\n?(?:[ \t]*\n)?").match(text, at)
    return rest.end() if rest else at


def _go(text: str) -> Iterator[TestSource]:
    for match in _GO_TEST.finditer(text):
        closing = text.find("\n}", match.start())
        if closing >= 0:
            start = match.start()
            while (above := text.rfind("\n", 0, start - 1) + 1) < start and text.startswith("//", above):
                start = above
            yield TestSource(match["title"], start, _line_end(text, closing + 2))


def _annotated(text: str, suffix: str) -> Iterator[TestSource]:
    """Tests that an annotation marks; each ends at the first closing brace that stands as far in as its method."""
    lines, starts = text.split("\n"), _line_starts(text)
    for number, line in enumerate(lines):
        if not _ANNOTATED[suffix].match(line):
            continue
        body = next(
            (n for n in range(number, min(number + 20, len(lines))) if _METHOD[suffix].search(_code(lines[n], suffix))),
            None,
        )
        if body is None:
            continue
        method = _METHOD[suffix].search(_code(lines[body], suffix))
        indent = lines[body][: len(lines[body]) - len(lines[body].lstrip())]
        last = next((n for n in range(body, len(lines)) if lines[n].rstrip() == f"{indent}}}"), None)
        if lines[body].count("{") and lines[body].count("{") == lines[body].count("}"):
            last = body
        if last is not None and method is not None:
            name = method.groupdict().get("quoted") or method["title"]
            first = number
            while first and re.match(r"\s*(?:@\w|#\[)", lines[first - 1]):
                first -= 1
            yield TestSource(name, starts[first], _line_end(text, starts[last + 1] - 1))


def _code(line: str, suffix: str) -> str:
    """A line without the annotations that stand before the method on it."""
    return re.sub(r"^\s*(?:#\[[^\]]*\]\s*)+" if suffix == ".rs" else r"^\s*(?:@\w+(?:\([^)]*\))?\s*)+", "", line)
