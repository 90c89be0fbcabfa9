"""Plain data as JSON and back: arguments and results of calls, with the value beneath a class of the change's own.

Runs inside the sandbox, and outside for messages. It must not know what is called.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from typing import Any

OTHER = "object"
"""Kind of a value that is no plain data."""
_LARGEST = 200
_LONGEST_TEXT = 2000
_DEEPEST = 6
_SIMPLE_KINDS: list[tuple[Any, Callable[[Any], str]]] = [
    (int, lambda value: format(int.__index__(value), "x")),
    (float, float.__repr__),
    (decimal.Decimal, decimal.Decimal.__str__),
    (str, lambda value: "".join(str.__iter__(value))),
    (bytes, bytes.hex),
]
_READERS: dict[str, Callable[[Any], Any]] = {
    "bool": lambda inner: None if inner is None else bool(inner),
    "undefined": lambda _: None,
    "int": lambda inner: int(inner, 16),
    "float": float,
    "decimal": decimal.Decimal,
    "str": str,
    "bytes": bytes.fromhex,
    "octets": bytes.fromhex,
    "bigint": lambda inner: int(inner, 16),
    "date": str,
}
_ROWS: tuple[Any, ...] = (list, tuple, set, frozenset, dict)


class NotPlain(Exception):
    """A value is no plain data, or has too much of it."""


def kind_of(value: object) -> Any:
    """Class of a value, whatever the value says of it."""
    return type(value)


def write_value(value: Any, deep: int = 0) -> list[Any]:
    """Data as JSON: the name of a kind, and what it holds. What a class of its own adds to a builtin is left out.

    Raises:
        NotPlain: It is something else, or too large.
    """
    kind = kind_of(value)
    if value is None or kind is bool:
        return ["bool", value]
    for base, written in _SIMPLE_KINDS:
        if issubclass(kind, base):
            return [base.__name__.lower(), _bounded(written(value))]
    base = next((row_kind for row_kind in _ROWS if issubclass(kind, row_kind)), None)
    if base is None or deep >= _DEEPEST:
        raise NotPlain(kind.__name__)
    if base.__len__(value) > _LARGEST:
        raise NotPlain("too large")
    if base.__name__ == "dict":
        pairs = ((key, base.__getitem__(value, key)) for key in base.__iter__(value))
        return ["dict", [[write_value(part, deep + 1) for part in pair] for pair in pairs]]
    parts = [write_value(part, deep + 1) for part in base.__iter__(value)]
    return [base.__name__, sorted(parts, key=repr) if base in (set, frozenset) else parts]


def _bounded(text: str) -> str:
    if len(text) > _LONGEST_TEXT:
        raise NotPlain("too long")
    return text


def read_value(written: list[Any]) -> Any:
    """Data as `write_value` has written it."""
    kind: str = written[0]
    inner: Any = written[1]
    if kind == "dict":
        return {read_value(key): read_value(value) for key, value in inner}
    if kind in _READERS:
        return _READERS[kind](inner)
    container: Any = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind]
    return container(read_value(part) for part in inner)
