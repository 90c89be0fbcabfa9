"""Inputs that differ a little from a given one, or much: one argument or one element is another one.

Runs inside the sandbox. They follow from the given input alone, so that two processes try the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from phasegate.infra.grading.integrity.plain.values import NotPlain, kind_of, read_value, write_value

MOST_VARIATIONS = 16
_MOST_PLACES = 8
_SCALES = 10


def vary(given: list[Any]) -> list[list[Any]]:
    """Inputs like one, each written as that one is: nearer and farther ones in turn, from place to place.

    Args:
        given: Values as `write_value` has written them, in lists and dictionaries of these.
    """
    places = [*_places(given)][:_MOST_PLACES]
    others = [(place, list(_alternatives(_at(given, place)))) for place in places]
    known = {json.dumps(given)}
    inputs: list[list[Any]] = []
    for turn in range(_SCALES):
        for place, alternatives in others:
            if turn >= len(alternatives):
                continue
            variation = _with(given, place, alternatives[turn])
            text = json.dumps(variation)
            if text not in known and len(inputs) < MOST_VARIATIONS:
                known.add(text)
                inputs.append(variation)
    return inputs


def _places(written: list[Any]) -> Iterator[tuple[Any, ...]]:
    """Paths to values that can be altered: numbers and texts first, then lists of them."""
    lists: list[tuple[Any, ...]] = []
    pending: list[tuple[Any, tuple[Any, ...]]] = [(written, ())]
    while pending:
        part, path = pending.pop(0)
        if kind_of(part) is dict:
            pending += [(value, (*path, name)) for name, value in part.items()]
            continue
        kind: Any = part[0] if part else None
        if kind in ("int", "float", "decimal", "str", "bytes"):
            yield path
        elif isinstance(kind, str):
            rows: list[Any] = part[1] if kind in ("list", "tuple", "set", "frozenset") else []
            if kind in ("list", "tuple") and rows:
                lists.append(path)
            pending += [(value, (*path, 1, index)) for index, value in enumerate(rows)]
            if kind == "dict":
                pending += [(pair[1], (*path, 1, index, 1)) for index, pair in enumerate(part[1])]
        else:
            pending += [(value, (*path, index)) for index, value in enumerate(part or ())]
    yield from lists


def _at(written: Any, place: tuple[Any, ...]) -> Any:
    for index in place:
        written = written[index]
    return written


def _with(written: Any, place: tuple[Any, ...], value: list[Any]) -> Any:
    """The same with another value at a place."""
    if not place:
        return value
    if kind_of(written) is dict:
        return {name: _with(part, place[1:], value) if name == place[0] else part for name, part in written.items()}
    return [_with(part, place[1:], value) if index == place[0] else part for index, part in enumerate(written)]


def _alternatives(written: list[Any]) -> Iterator[list[Any]]:
    """Other values of the same kind."""
    kind = written[0]
    if kind in ("list", "tuple"):
        rows: list[Any] = written[1]
        yield from ([kind, alternative] for alternative in (rows[:-1], [*rows, rows[-1]], rows[::-1]))
        return
    value = read_value(written)
    alternatives = _other_texts(value) if kind in ("str", "bytes") else _other_numbers(value)
    for alternative in alternatives:
        try:
            yield write_value(alternative)
        except NotPlain:
            continue


def _other_numbers(number: Any) -> Iterator[Any]:
    """Numbers near and far, of both signs."""
    if abs(number) * 0 != 0:  # no finite number
        return
    kind = kind_of(number)
    half = number // 2 if kind is int else number / 2
    yield from (number + 1, number * 2 + 1, number - 1, number * 10, number + 7, half)
    yield from (number + 100, -number - 2, number * 1000 + 3, number + 12)


def _other_texts(value: Any) -> Iterator[Any]:
    """Texts with another letter or digit, a longer one and a shorter one."""
    text = value if isinstance(value, str) else value.decode("latin-1")
    letters = [place for place, character in enumerate(text) if character.isascii() and character.isalnum()]
    middle = len(letters) // 2
    chosen = dict.fromkeys([*letters[middle : middle + 1], *letters[-1:], *letters[:1], *letters[1:2]])
    altered = [text[:place] + _next_letter(text[place]) + text[place + 1 :] for place in chosen]
    texts = [*altered[:1], text + "n7", *altered[1:2], text[:-1], *altered[2:], f"{text} {text}", "r" + text]
    yield from (texts if isinstance(value, str) else [variant.encode("latin-1") for variant in texts])


def _next_letter(letter: str) -> str:
    """Letter or digit that follows in its alphabet."""
    last = {"9": "0", "z": "a", "Z": "A"}
    return last.get(letter) or chr(ord(letter) + 1)
