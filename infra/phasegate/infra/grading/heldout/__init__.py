"""Held-out inputs: properties whose inputs are drawn once the change is sealed, by generators of ours.

A sealed test file asks for them by an import of `heldout`, which no project has. When the file is laid in, generators
and a seed of this grade stand in the place of the import. Such a file is never released. It must not know what a
property says.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from phasegate.infra.grading.heldout.placed_python import placed_python

_PYTHON = re.compile(r"^(?P<indent>[ \t]*)from heldout import (?P<names>\([^)]*\)|[^\n#]*)[^\n]*$", re.MULTILINE)
_NODE = re.compile(
    r"^(?:import\s*\{(?P<imported>[^}]*)\}\s*from\s*[\"']heldout[\"']"
    r"|(?:const|let|var)\s*\{(?P<required>[^}]*)\}\s*=\s*require\([\"']heldout[\"']\))[ \t]*;?",
    re.MULTILINE,
)
_TYPED = (".ts", ".tsx", ".mts", ".cts")
_SEED = "SEED = 0"


def is_held_out(path: str, content: str) -> bool:
    """True for a test file whose inputs are drawn for each grade."""
    return bool((_PYTHON if path.endswith(".py") else _NODE).search(content))


def laid_in(path: str, content: str, seed: int) -> str:
    """A test file with the generators in the place of their import; any other file as it is.

    Args:
        path: The file's.
        content: Its text.
        seed: What inputs are drawn from.
    """
    if path.endswith(".py"):
        return placed_python(content, seed) if _PYTHON.search(content) else content
    text = " ".join(line.strip() for line in _source("node.js").replace(_SEED, f"SEED = {seed}").splitlines())
    typed = ": any" if path.endswith(_TYPED) else ""

    def inlined(statement: re.Match[str]) -> str:
        names = (statement["imported"] or statement["required"]).replace(" as ", ": ")
        return f"const {{{' '.join(names.split())}}}{typed} = {text}{_lines(statement[0])}"

    return _NODE.sub(inlined, content)


def unknown_names(files: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Tell of names that test files import from `heldout` and that are not there.

    Args:
        files: Path and text of each.
    """
    known = sorted(_names())
    for path, content in files:
        for statement in (_PYTHON if path.endswith(".py") else _NODE).finditer(content):
            groups = statement.groupdict()
            listed = (groups.get("names") or groups.get("imported") or groups.get("required") or "").strip("()")
            for name in (re.split(r"\s+as\s+|:", part.strip())[0].strip() for part in listed.split(",")):
                if name and name not in known:
                    yield f"{path}: heldout has no {name!r}; it has {', '.join(known)}."


@cache
def _names() -> frozenset[str]:
    nodes = ast.parse(_source("python.py")).body
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"))


@cache
def _source(name: str) -> str:
    return (Path(__file__).parent / name).read_text()


def _lines(text: str) -> str:
    """Line breaks that keep what follows on its lines."""
    return "\n" * text.count("\n")
