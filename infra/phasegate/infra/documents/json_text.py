"""JSON of others: the value, or `DocumentUnreadable`.

The bounds are checked before the parser runs: its own error for deep nesting depends on the stack of whoever calls it.
Numbers that JSON does not have are refused, as are those that a float turns into infinity. Lone surrogates become
U+FFFD.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any, cast

from phasegate.infra.documents.bounds import STORED, DocumentBounds, unreadable
from phasegate.infra.documents.text import decoded, mend_text, mend_value
from phasegate.infra.errors import DocumentUnreadable

_DEFAULT = DocumentBounds()
# each alternative takes at least one character, and a string without an end reaches to the text's end: linear
_STRING = re.compile(r'"(?:[^"\\]++|\\.|\\\Z)*+(?:"|\Z)', re.DOTALL)
_LEVELS = {"[": 1, "{": 1, "]": -1, "}": -1}
_OUTSIDE = re.compile(r"[^\[\]{},]+")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(
    content: str | bytes, source: str, bounds: DocumentBounds = _DEFAULT, *, constants: bool = False
) -> object:
    """Read one JSON document.

    Args:
        content: The document; bytes are UTF-8.
        source: Name of the document in messages.
        bounds: Bounds within which it is read.
        constants: True to read `NaN`, `Infinity` and `-Infinity`, as Python and JavaScript programs print them.

    Raises:
        DocumentUnreadable: It is not JSON, or past a bound.
    """
    if isinstance(content, bytes):
        content = decoded(content, source, bounds)
    bounds.require_size(content, source)
    _require_bounds(content, source, bounds)
    try:
        value = json.loads(
            mend_text(content),
            parse_int=_integers(source, bounds),
            parse_float=_floats(source, bounds),
            parse_constant=float if constants else _refusal(source),
        )
    except json.JSONDecodeError as error:
        raise unreadable(source, f"it is not JSON: {error.msg}", error.lineno) from error
    except RecursionError as error:  # the caller's own stack is nearly full
        raise bounds.too_deep(source) from error
    return mend_value(value) if _SURROGATE_ESCAPE.search(content) else value


def read_json_table(
    content: str | bytes, source: str, bounds: DocumentBounds = _DEFAULT, *, constants: bool = False
) -> dict[str, Any]:
    """Read one JSON document that is an object; as `read_json`.

    Raises:
        DocumentUnreadable: It is not JSON, past a bound, or something else than an object.
    """
    value = read_json(content, source, bounds, constants=constants)
    if not isinstance(value, dict):
        raise unreadable(source, "it is no JSON object")
    return cast("dict[str, Any]", value)


def read_stored_json(text: str | bytes) -> Any:
    """Read JSON that phasegate wrote, from where others may have written since: a trail, a bundle.

    Raises:
        DocumentUnreadable: It is not JSON, or past the bounds of what phasegate writes.
    """
    return read_json(text, "what is stored", STORED)


def json_table_or_empty(
    content: str | bytes, source: str, bounds: DocumentBounds = _DEFAULT, *, constants: bool = False
) -> dict[str, Any]:
    """Read one JSON object; an empty one stands for a document that cannot be read."""
    try:
        return read_json_table(content, source, bounds, constants=constants)
    except DocumentUnreadable:
        return {}


def _require_bounds(text: str, source: str, bounds: DocumentBounds) -> None:
    """Count brackets and commas outside of strings; only a text that may be past a bound is taken apart."""
    opened = text.count("[") + text.count("{")
    if opened <= bounds.depth and opened + text.count(",") < bounds.values:
        return
    structure = _OUTSIDE.sub("", _STRING.sub("", text))
    brackets = structure.replace(",", "")
    if len(structure) - len(brackets) // 2 >= bounds.values:
        raise bounds.too_many(source)
    if max(accumulate(map(_LEVELS.__getitem__, brackets)), default=0) > bounds.depth:
        raise bounds.too_deep(source)


def _integers(source: str, bounds: DocumentBounds) -> Callable[[str], int]:
    def integer(text: str) -> int:
        if len(text) > bounds.digits:
            raise bounds.too_long_a_number(source)
        return int(text)

    return integer


def _floats(source: str, bounds: DocumentBounds) -> Callable[[str], float]:
    def number(text: str) -> float:
        if len(text) > bounds.digits:
            raise bounds.too_long_a_number(source)
        value = float(text)
        if not math.isfinite(value):
            raise unreadable(source, f"the number {text} is too large")
        return value

    return number


def _refusal(source: str) -> Callable[[str], float]:
    def refuse(name: str) -> float:
        raise unreadable(source, f"{name} is not JSON")

    return refuse
