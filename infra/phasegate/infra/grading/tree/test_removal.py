"""A test file without some of its tests, and without the imports that only they used.

Called when the graded tree is made: an amended test leaves its file. Edits text alone and runs nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection

from phasegate.infra.documents.python_source import python_or_none
from phasegate.infra.grading.tree.test_sources import list_tests

_IMPORTS = {
    ".go": re.compile(r'(?m)^(?:import)?[ \t]+(?:(?P<alias>\w+)[ \t]+)?"(?:[^"\n]*/)?(?P<name>[\w-]+)"[ \t]*\n'),
    ".java": re.compile(r"(?m)^import (?:static )?[\w.]+\.(?P<name>\w+);[ \t]*\n"),
    ".kt": re.compile(r"(?m)^import [\w.]+\.(?P<name>\w+)[ \t]*\n"),
    ".rs": re.compile(r"(?m)^[ \t]*use [\w:]+::(?P<name>\w+);[ \t]*\n"),
}
_NODE_IMPORT = re.compile(
    r"(?P<head>(?:import|const|let|var)\s*)\{(?P<names>[^{}]*)\}"
    r"(?P<tail>\s*(?:from|=\s*(?:await\s+)?(?:require|import)\s*\())"
)


def without_tests(path: str, text: str, names: Collection[str]) -> str:
    """Take tests out of a file, and the imports that nothing but those tests used.

    Args:
        path: Tells the language by its suffix.
        text: The file's content.
        names: Of the tests that go, as `list_tests` gives them.

    Returns:
        The file's new content, or an empty string if no test is left in it.
    """
    tests = list_tests(path, text)
    gone = [test for test in tests if test.name in names]
    if all(any(outer.start <= test.start and test.end <= outer.end for outer in gone) for test in tests):
        return ""
    if path.endswith(".py"):
        return _python_without(text, set(names))
    kept, at = "", 0
    for test in gone:
        kept += text[at : test.start]
        at = max(at, test.end)
    return _unused_imports_dropped(path, text, kept + text[at:])


def _python_without(text: str, names: set[str]) -> str:
    module = python_or_none(text)
    if module is None:
        return text
    gone: list[tuple[int, int, str]] = []

    def visit(body: list[ast.stmt], prefix: str) -> bool:
        """Collect what goes; whether nothing of the body would be left."""
        left = 0
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and f"{prefix}{node.name}" in names:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                gone.append((first, node.end_lineno or first, ""))
            elif isinstance(node, ast.ClassDef):
                inner = len(gone)
                if visit(node.body, f"{prefix}{node.name}::") and len(gone) > inner:
                    del gone[inner:]
                    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                    gone.append((first, node.end_lineno or first, ""))
                else:
                    left += 1
            elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                left += 1
        return left == 0

    visit(module.body, "")
    kept = _lines_replaced(text, gone)
    return _python_unused_imports_dropped(module, kept)


def _lines_replaced(text: str, pieces: Collection[tuple[int, int, str]]) -> str:
    lines = text.split("\n")
    for first, last, content in sorted(pieces, reverse=True):
        after = last
        while not content and after < len(lines) and not lines[after].strip() and first > 1:
            after += 1  # the blank lines after it go with it, those before it stay
        tail = lines[after:]
        blank = [""] if not content and after > last and not any(line.strip() for line in tail) else []
        lines[first - 1 :] = [*([content] if content else []), *blank, *tail]
    return "\n".join(lines).rstrip("\n") + "\n"


def _python_unused_imports_dropped(before: ast.Module, text: str) -> str:
    after = python_or_none(text)
    if after is None:
        return text
    used_before, used = _used_names(before), _used_names(after)
    pieces: list[tuple[int, int, str]] = []
    for node in after.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            kept = [alias for alias in node.names if _bound(alias) in used or _bound(alias) not in used_before]
            if len(kept) < len(node.names):
                content = ""
                if kept:
                    smaller = (
                        ast.Import(kept)
                        if isinstance(node, ast.Import)
                        else ast.ImportFrom(node.module, kept, node.level)
                    )
                    content = ast.unparse(smaller)
                pieces.append((node.lineno, node.end_lineno or node.lineno, content))
    if not pieces:
        return text
    lines = text.split("\n")
    for first, last, content in sorted(pieces, reverse=True):
        lines[first - 1 : last] = [content] if content else []
    return "\n".join(lines)


def _used_names(module: ast.Module) -> set[str]:
    return {node.id for node in ast.walk(module) if isinstance(node, ast.Name)}


def _bound(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _unused_imports_dropped(path: str, before: str, after: str) -> str:
    pattern = _IMPORTS.get("." + path.rpartition(".")[2])
    if pattern is None:
        return _node_imports_dropped(before, after)

    def kept(match: re.Match[str]) -> str:
        name = match.groupdict().get("alias") or match["name"]
        uses = [len(re.findall(rf"\b{re.escape(name)}\b", text)) for text in (before, after)]
        return "" if uses[1] == 1 < uses[0] else match[0]

    return pattern.sub(kept, after)


def _node_imports_dropped(before: str, after: str) -> str:
    """The names between braces of `import {…} from` and `const {…} = require` that only the tests taken out used."""

    def smaller(match: re.Match[str]) -> str:
        names = [name.strip() for name in match["names"].split(",") if name.strip()]
        kept: list[str] = []
        for name in names:
            local = re.split(r"\s+as\s+|\s*:\s*", name)[-1]
            uses = [len(re.findall(rf"(?<![\w$.]){re.escape(local)}(?![\w$])", text)) for text in (before, after)]
            if not (uses[1] == 1 < uses[0]):
                kept.append(name)
        return match[0] if len(kept) == len(names) else f"{match['head']}{{ {', '.join(kept)} }}{match['tail']}"

    return _NODE_IMPORT.sub(smaller, after)
