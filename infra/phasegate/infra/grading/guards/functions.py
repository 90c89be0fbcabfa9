"""Functions of a source file and their lines: by syntax for Python, by how definitions look for other languages.

Called where code is named: by a PRD, by characterization tests, by a change. A wrong answer costs precision alone. It
must not know who asks.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from phasegate.infra.documents.python_source import python_or_none

_WORDS = "if for while switch catch return else do try with match when unless until function"
_KEYWORDS = frozenset(_WORDS.split(" "))
_DEFINITIONS = (
    re.compile(r"\b(?:func|function\*?|fn|def|fun|sub)\s+(?:\([^)]*\)\s*)?(?:self\.)?(?P<name>[A-Za-z_$][\w$]*[?!]?)"),
    re.compile(
        r"(?:\b(?:const|let|var|val)\s+|\b(?:exports|this)\.)(?P<name>[\w$]+)\s*(?::[^=]+)?"
        r"=\s*(?:async\b\s*)?(?:\(|function\b|[\w$]+\s*=>)"
    ),
    re.compile(r"^\s*(?:[\w<>\[\], ?*&:.@]+\s)?(?P<name>[A-Za-z_$][\w$]*)\s*\([^;]*\)\s*[\w\s<>\[\],:.|&?-]*\{\s*$"),
)
_COMMENT = re.compile(r"\s*(?:#|//|/?\*|--|\"\"\")")
_BRACE_WITHIN = 4
"""Lines in which the bracket of a definition's body is looked for."""


@dataclass(frozen=True)
class Function:
    """Function or method of a file."""

    name: str
    """Its name, in Python with its classes: `Class.method`."""
    start: int
    """First line, from 1."""
    end: int
    """Last line, included."""

    def is_called(self, name: str) -> bool:
        """True if it goes by this name, with its class or without."""
        return name in (self.name, self.name.rpartition(".")[2])


def functions_of(path: str, text: str) -> tuple[Function, ...]:
    """List the functions of a file.

    Args:
        path: Tells the language by its suffix.
        text: The file's content.
    """
    return tuple(_python(text) if path.endswith((".py", ".pyi")) else _others(text))


def statement_lines(path: str, text: str) -> set[int]:
    """Lines that hold code, those inside of functions only where there are functions: imports run any module's rest.

    Args:
        path: Tells the language by its suffix.
        text: The file's content.
    """
    functions = functions_of(path, text)
    if path.endswith(".py"):
        module = python_or_none(text)
        statements = [node for node in ast.walk(module) if isinstance(node, ast.stmt)] if module else []
        lines = {node.lineno for node in statements if _counts(node)}
    else:
        numbered = enumerate(text.splitlines(), 1)
        lines = {number for number, line in numbered if re.search(r"\w", line) and not _COMMENT.match(line)}
    inside = {line for line in lines if any(function.start < line <= function.end for function in functions)}
    return inside or lines


def _counts(node: ast.stmt) -> bool:
    is_definition = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return not is_definition and not is_text


def _python(text: str) -> Iterator[Function]:
    module = python_or_none(text)

    def visit(body: list[ast.stmt], prefix: str) -> Iterator[Function]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield Function(f"{prefix}{node.name}", node.lineno, node.end_lineno or node.lineno)
            elif isinstance(node, ast.ClassDef):
                yield from visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.If | ast.Try):
                yield from visit(node.body, prefix)

    yield from visit(module.body if module else [], "")


def _others(text: str) -> Iterator[Function]:
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if _COMMENT.match(line):
            continue
        definition = next((match for pattern in _DEFINITIONS if (match := pattern.search(line))), None)
        if definition and definition["name"] not in _KEYWORDS:
            yield Function(definition["name"], number, _end(lines, number))


def _end(lines: list[str], start: int) -> int:
    """Last line of a definition: where its bracket closes, or the last one that is indented deeper."""
    opening = next((at for at in range(start, min(start + _BRACE_WITHIN, len(lines) + 1)) if "{" in lines[at - 1]), 0)
    if opening:
        depth = 0
        for number in range(opening, len(lines) + 1):
            bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", lines[number - 1])
            depth += bare.count("{") - bare.count("}")
            if depth <= 0:
                return number
        return len(lines)
    indent = _indent(lines[start - 1])
    end = start
    for number in range(start + 1, len(lines) + 1):
        if lines[number - 1].strip():
            if _indent(lines[number - 1]) <= indent:
                break
            end = number
    return end


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
