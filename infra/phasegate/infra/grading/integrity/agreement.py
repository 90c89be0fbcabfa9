"""Comparison of a value with others than the expected one; laid into copies of sealed Python tests.

Runs beside code under test. Honest code equals what it equals for a reason: a price equals the same amount, and a
number that it differs from by a rounding error. No value that is tried here is so near. It must not know the test.
"""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import fractions
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

NEAR = True
PLACES = ("line", "column", "col", "start", "end", "pos", "position", "offset", "index", "order", "depth", "id")
_SIMPLE = (int, float, str, bytes, bool, decimal.Decimal, fractions.Fraction, type(None))
_MOST = 8
_MADE_IN_PYTHON = 1 << 9
"""Flag of a class that is no builtin, whose objects may hold more than their attributes."""


def agrees(value: Any, other: Any, *, believed: Iterable[int] = ()) -> bool:
    """True if a value equals the expected one, and clearly different values just as well.

    Args:
        value: The value.
        other: The expected one.
        believed: Which of the two may be a matcher, by place, unless it is plain data.
    """
    if not all(_is_plain((value, other)[place]) for place in believed) or not _equal(value, other):
        return False
    copies = list(_copies(other))
    return any(_equal(value, wrong) for wrong in different_values(other)) or bool(
        copies and all(_equal(value, it) for it in copies)
    )


def _kind(value: object) -> Any:
    return type(value)


def _is_plain(value: Any) -> bool:
    kind = _kind(value)
    if kind in (list, tuple, set, frozenset):
        return all(map(_is_plain, value))
    if kind is dict:
        return all(map(_is_plain, value.values()))
    return kind in (*_SIMPLE, dt.date, dt.datetime, dt.timedelta) or isinstance(value, pathlib.PurePath)


def _equal(value: Any, other: Any) -> bool:
    try:
        return bool(value == other)
    except Exception:  # noqa: BLE001 - whatever a comparison raises, it does not agree
        return False


def different_values(value: Any) -> Iterator[Any]:
    """Clearly different values, the far ones first."""
    kind = _kind(value)
    if kind in (int, float, decimal.Decimal, fractions.Fraction):
        values = _numbers(value, kind)
    elif kind in (str, bytes):
        values = _texts(value)
    elif kind in (list, tuple):
        values = _lists(value, kind)
    elif kind is dict:
        values = _tables(value)
    elif kind in (set, frozenset):
        values = iter([value | {_letters()}])
    elif kind in (dt.date, dt.datetime, dt.timedelta):
        values = _times(value)
    elif isinstance(value, pathlib.PurePath):
        values = iter([value / _letters()])
    else:
        values = iter([object(), _letters()])
    return (wrong for wrong in values if not _equal(wrong, value))


def _numbers(value: Any, kind: Any) -> Iterator[Any]:
    yield value + abs(value) // 2 + 3 + ord(os.urandom(1)) % 90
    if NEAR:
        least = 2 if kind is int else kind(1) / kind(10)
        step = max(least, -(-abs(value) * 3 // 100) if kind is int else abs(value) * 3 / 100)
        yield from (value + step, value - step)


def _texts(value: Any) -> Iterator[Any]:
    text = value if isinstance(value, str) else value.decode("latin-1")
    texts = [text + _letters()]
    if NEAR:
        texts.append("".join(map(_another, text)))
        at = next((place for place, character in enumerate(text) if character.isalnum()), -1)
        if at >= 0:
            texts.append(text[:at] + _another(text[at]) + text[at + 1 :])
    return iter(texts if isinstance(value, str) else [wrong.encode("latin-1") for wrong in texts])


def _lists(value: Any, kind: Any) -> Iterator[Any]:
    yield kind([*value, _letters()])
    for at, entry in enumerate(value[:_MOST]):
        for wrong in different_values(entry):
            yield kind([*value[:at], wrong, *value[at + 1 :]])


def _tables(value: Any) -> Iterator[Any]:
    yield {**value, _letters(): 1}
    for key in list(value)[:_MOST]:
        for wrong in different_values(value[key]):
            yield {**value, key: wrong}


def _times(value: Any) -> Iterator[Any]:
    try:
        yield value + dt.timedelta(days=403, hours=5)
    except OverflowError:
        return


def _copies(value: Any) -> Iterator[Any]:
    """Copies of a plain object, each with another value in one of its fields, or none if it may hold more."""
    fields = dict(getattr(value, "__dict__", None) or {})
    if not all(cls is object or cls.__flags__ & _MADE_IN_PYTHON for cls in type(value).__mro__):
        return
    measures = [
        name for name, field in fields.items() if type(field) in (int, float, decimal.Decimal, fractions.Fraction)
    ]
    is_plain = all(type(field) in _SIMPLE for field in fields.values())
    if not is_plain or not [name for name in measures if name.strip("_").lower() not in PLACES]:
        return
    for name, known in fields.items():
        wrong = not known if type(known) is bool else next(different_values(known))
        try:
            twin = copy.copy(value)
            vars(twin)[name] = wrong
        except Exception:  # noqa: BLE001 - an object that cannot be copied is not judged
            return
        if twin is not value:
            yield twin


def _another(letter: str) -> str:
    """Another letter or digit of the same kind."""
    if letter.isdigit():
        return "1234567890"["0123456789".find(letter)]
    return "e" if letter.lower() == "n" else "n"


def _letters() -> str:
    return "".join(chr(97 + byte % 26) for byte in os.urandom(8))
