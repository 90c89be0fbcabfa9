"""Heuristics on a migration's text: does it take something away? For people at a gate, not for code.

It knows the usual words of SQL and of migration frameworks and parses none of them: it can miss something, and what it
finds may be harmless. What a file says about going back down is left out, for that always takes away.
"""

from __future__ import annotations

import re

_DOWN = re.compile(
    r"^\s*(?:def\s+down(?:grade)?\b|(?:exports\.|public\s+function\s+|async\s+)?down\s*[(=:]"
    r"|--\s*(?:\+goose\s+|migrate:|\+migrate\s+)?down\b)",
    re.IGNORECASE,
)
_UP = re.compile(r"^\s*(?:def\s+up(?:grade)?\b|--\s*(?:\+goose\s+|migrate:|\+migrate\s+)?up\b)", re.IGNORECASE)
_TAKES_AWAY = re.compile(
    r"\b(?:drop\s+(?:table|column|schema|database|view|type|constraint)|truncate\b|delete\s+from|rename\s+(?:to|column)"
    r"|set\s+not\s+null|alter\s+column\s+\S+\s+(?:set\s+data\s+)?type"
    r"|(?:drop|remove|rename|delete)_?(?:table|column|field|model)s?\b)",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"^\s*(?:--|#|//)")
_SHOWN = 80


def takes_away(text: str) -> list[tuple[int, str]]:
    """The lines of a migration, by number from 1, that take something away; each shortened."""
    lines: list[tuple[int, str]] = []
    down = False
    for number, line in enumerate(text.splitlines(), start=1):
        down = not _UP.match(line) and (down or bool(_DOWN.match(line)))
        if not down and not _COMMENT.match(line) and _TAKES_AWAY.search(line):
            lines.append((number, " ".join(line.split())[:_SHOWN]))
    return lines
