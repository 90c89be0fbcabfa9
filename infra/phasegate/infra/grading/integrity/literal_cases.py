"""Calls with constants that tests in JavaScript, TypeScript or Go compare with a constant, found in their text.

Called by `hard_coded`. It must not know how a test fared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LANGUAGES = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".tsx", ".jsx", ".go")
"""Endings of files whose text is read so."""
_TEXT = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`[^`$\\]*`"
_LITERAL = rf"(?:{_TEXT}|-?\d[\d_]*(?:\.\d+)?(?![\w.]))"
_CALL = rf"(?<![\w.])[A-Za-z_$][\w.$]*\(((?:[^()\"'`\[\]{{}}\n]|{_TEXT})+)\)"
_MATCHERS = r"(?:toBe|toEqual|toStrictEqual|equals?|eqls?|be|is)"
_COMPARED = (
    re.compile(rf"{_CALL}\s*,\s*({_LITERAL})\s*[,)]"),
    re.compile(rf"{_CALL}\s*\)?\s*(?:\.\w+)*?\.{_MATCHERS}\(\s*({_LITERAL})"),
    re.compile(rf"{_CALL}\s*(?:;\s*\w+\s*)?[!=]==?\s*({_LITERAL})"),
)
_COMPARED_AFTER = re.compile(rf"(?<![\w.])[\w.]+\(\s*({_LITERAL})\s*,\s*{_CALL}\s*[,)]")
_SINGLE = re.compile(_LITERAL)


def literal_cases(text: str) -> Iterator[tuple[str, str]]:
    """Argument and result of each such call: a number as it is spelled, a text in single quotes."""
    pairs = [pair for pattern in _COMPARED for pair in pattern.findall(text)]
    pairs += [(given, expected) for expected, given in _COMPARED_AFTER.findall(text)]
    for given, expected in pairs:
        for literal in _SINGLE.findall(given):
            yield _written(literal), _written(expected)


def _written(literal: str) -> str:
    return f"'{literal[1:-1]}'" if literal[0] in "\"'`" else literal.replace("_", "")
