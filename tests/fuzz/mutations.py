"""Mutations of valid documents: bytes, structure, nesting, digits, surrogates, aliases."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

NUMBERS = (
    b"9" * 20,
    b"1" + b"0" * 4_400,
    str(2**70).encode(),
    b"-" + b"9" * 400,
    b"1e999",
    b"0x" + b"f" * 5_000,
    b"NaN",
    b"-Infinity",
    b"0.1e-5000",
    b"1_000",
    b".inf",
    b"1979-05-27",
    b"2026-13-45T99:99:99Z",
)
TEXTS = (
    b"\\ud800",
    b"\\udfff\\ud800",
    b"\xed\xa0\x80",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xc2\x85\xe2\x80\xa8",
    b"null",
    b"[]",
    b"{}",
    b'""',
    b"true",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
    b"&#xD800;",
    b"%YAML 2.0\n---\n",
    b"!!int ''",
    b"!!bool x",
    b"!!python/object:os.system {}",
    b"&a [*a]",
    b"*nobody",
    b"<<: 1",
    b"? [a]\n: b",
    b"**/" * 30,
    b"[z-a]",
    b"data: {",
)
OPENING = (b"[", b"{", b'{"a":', b"(", b"<a>", b"- ", b"not ", b"-", b"a.", b"${x:-", b'"a":[', b"((")
CLOSING = {b"[": b"]", b"{": b"}", b'{"a":': b"}", b"(": b")", b"<a>": b"</a>", b"((": b"))"}
_NUMBER = re.compile(rb"\d+(?:\.\d+)?")
_WORD = re.compile(rb"[A-Za-z_]+|\"[^\"]*\"")
_LONGEST = 400_000


def mutated(seeds: Sequence[bytes], chance: Random) -> bytes:
    """A document made from one of the seeds by one to four mutations."""
    content = chance.choice(seeds)
    for _ in range(chance.randint(1, 4)):
        content = chance.choice(MUTATIONS)(content, chance)[:_LONGEST]
    return content


def _flip(content: bytes, chance: Random) -> bytes:
    if not content:
        return content
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]


def _delete(content: bytes, chance: Random) -> bytes:
    start, end = _span(content, chance)
    return content[:start] + content[end:]


def _repeat(content: bytes, chance: Random) -> bytes:
    start, end = _span(content, chance)
    return content[:end] + content[start:end] * chance.choice((1, 2, 50, 2_000)) + content[end:]


def _insert(content: bytes, chance: Random) -> bytes:
    at = chance.randint(0, len(content))
    return content[:at] + chance.choice(TEXTS) + content[at:]


def _nest(content: bytes, chance: Random) -> bytes:
    opening = chance.choice(OPENING)
    depth = chance.choice((3, 60, 150, 900, 3_000, 20_000))
    match = _some(_WORD, content, chance) or _some(_NUMBER, content, chance)
    start, end = match.span() if match else _span(content, chance)
    closing = CLOSING.get(opening, b"") if chance.random() < 0.8 else b""
    return content[:start] + opening * depth + content[start:end] + closing * depth + content[end:]


def _renumber(content: bytes, chance: Random) -> bytes:
    return _replaced(content, _some(_NUMBER, content, chance), chance.choice(NUMBERS))


def _retype(content: bytes, chance: Random) -> bytes:
    return _replaced(content, _some(_WORD, content, chance), chance.choice((*TEXTS, *NUMBERS)))


def _lengthen(content: bytes, chance: Random) -> bytes:
    word = chance.choice((b"a", b"\\", b'"', b"#", b" ", b"\n", b"\xc3\xa9", b"'", b"*", b",", b"=", b"{}", b"[],"))
    at = chance.randint(0, len(content))
    return content[:at] + word * chance.choice((100, 5_000, 100_000)) + content[at:]


def _alias(content: bytes, chance: Random) -> bytes:
    names = [f"x{number}" for number in range(chance.choice((2, 12, 40)))]
    lines = ["x: &x [a, a, a, a, a, a, a, a, a]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in zip(["x", *names], names, strict=False)]
    return content + b"\n" + "\n".join(lines).encode() + b"\n"


def _shuffle(content: bytes, chance: Random) -> bytes:
    lines = content.split(b"\n")
    chance.shuffle(lines)
    return b"\n".join(lines)


MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    _flip,
    _delete,
    _repeat,
    _insert,
    _nest,
    _renumber,
    _retype,
    _lengthen,
    _alias,
    _shuffle,
)


def _span(content: bytes, chance: Random) -> tuple[int, int]:
    start = chance.randint(0, len(content))
    return start, min(len(content), start + chance.choice((1, 3, 10, 40)))


def _some(pattern: re.Pattern[bytes], content: bytes, chance: Random) -> re.Match[bytes] | None:
    matches = list(pattern.finditer(content[:20_000]))
    return chance.choice(matches) if matches else None


def _replaced(content: bytes, match: re.Match[bytes] | None, new: bytes) -> bytes:
    return content if match is None else content[: match.start()] + new + content[match.end() :]
