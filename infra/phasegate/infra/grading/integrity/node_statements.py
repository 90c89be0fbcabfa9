"""Statements at the top of a JavaScript or TypeScript module, by the names that they bind.

Called by `altered_names`. It goes by lines and indentation and runs nothing. It must not know what names are used for.
"""

from __future__ import annotations

import re

OTHERS = "*"
"""Stands for statements that bind no name."""
_DECLARATION = re.compile(
    r"(?:export\s+)?(?:default\s+)?(?:declare\s+)?(?:abstract\s+)?"
    r"(?:(?:async\s+)?function\b\s*\*?\s*|class\s+|(?:const|let|var|enum|type|interface|namespace)\s+)(\w+|\{[^}]*\})"
)
_EXPORT = re.compile(r"(?:module\.)?exports(?:\.(\w+)|\[[\"'](\w+)[\"']\])\s*=(?!=)")
_DEFAULT = re.compile(r"module\.exports\s*=(?!=)|export\s+default\b")
_LIST = re.compile(
    r"(?:module\.exports\s*=(?:\s*exports\s*=)?|export)\s*(?:\{[\w\s,:.$/*]*\}|\w+)\s*(?:from\s*[\"'][^\"']+[\"']\s*)?;?"
)
_IMPORT = re.compile(r"import\b(?!\s*\()|export\s*\*|[\"']use strict[\"']|#!")
_COMMENTS = re.compile(r"/\*.*?\*/|^\s*//[^\n]*$", re.DOTALL | re.MULTILINE)
_CONTINUED = tuple(" \t})].?:&|+")
"""Beginnings of a line that goes on with the statement before it."""


def node_statements(text: str) -> dict[str, list[str]]:
    """Statements that stand at the left margin, without comments; lists of exports and imports bind nothing."""
    statements: dict[str, list[str]] = {}
    for statement in _statements(_COMMENTS.sub("", text)):
        for name in _bound(statement):
            statements.setdefault(name, []).append(re.sub(r"\s+", " ", statement))
    return statements


def _statements(text: str) -> list[str]:
    blocks: list[list[str]] = []
    for line in filter(str.strip, text.splitlines()):
        if blocks and line.startswith(_CONTINUED):
            blocks[-1].append(line)
        else:
            blocks.append([line])
    return ["\n".join(lines) for lines in blocks]


def _bound(statement: str) -> list[str]:
    if _IMPORT.match(statement) or _LIST.fullmatch(statement):
        return []
    if export := _EXPORT.match(statement):
        return [export[1] or export[2]]
    default = ["default"] if _DEFAULT.match(statement) else []
    if declaration := _DECLARATION.match(statement):
        return [*default, *re.findall(r"(\w+)\s*(?:[,}=]|$)", declaration[1])]
    return default or [OTHERS]
