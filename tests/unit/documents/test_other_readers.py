"""Globs, compressed content, bodies of answers and XML, each within bounds."""

from __future__ import annotations

import base64
import gzip
import re
import time
from collections.abc import AsyncIterator
from random import Random

import pytest

from phasegate.infra.documents.bounds import DocumentBounds
from phasegate.infra.documents.compressed import gunzipped_base64
from phasegate.infra.documents.globs import _part, _parts, _States, glob_matches, require_glob
from phasegate.infra.documents.http_body import joined_body
from phasegate.infra.documents.xml_text import XmlHandlers, XmlReader, XmlRefused
from phasegate.infra.errors import DocumentUnreadable


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("**/a" * 30 + "x", "a/" * 2_000 + "a"),
        ("**" + "a**" * 19 + "x", "a" * 4_000),
        ("*a" * 19 + "x", "a" * 255),
        ("?*" * 19 + "x", "a" * 255),
        ("**/*/" * 9 + "x", "a/" * 2_000),
    ],
)
def test_many_wildcards_take_no_time(pattern: str, path: str) -> None:
    """Mutation tried: each pattern as a regular expression, which takes minutes."""
    began = time.thread_time()
    assert not glob_matches(pattern, path)
    assert time.thread_time() - began < 5


def test_states_match_as_the_expression_does() -> None:
    """Mutation tried: `**/` that matches no folder."""
    chance = Random(15)
    for _ in range(5_000):
        pattern = "".join(
            chance.choice(("*", "**", "**/", "/", "a", "b", "?", "[ab]", "[!a]")) for _ in range(chance.randint(1, 7))
        )
        path = "".join(chance.choice("ab/") for _ in range(chance.randint(1, 8)))
        parts = _parts(pattern)
        expression = re.compile("".join(map(_part, parts)) + r"(?:/.*)?", re.DOTALL)
        assert _States(parts).fullmatch(path) == bool(expression.fullmatch(path)), (pattern, path)


@pytest.mark.parametrize("pattern", ["**/" * 30, "a" * 1_001, "[z-a]", "*" * 50])
def test_a_pattern_that_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="must be a pattern"):
        require_glob(pattern)


@pytest.mark.parametrize("pattern", ["a", "**/*.lock", "src/**/test_?[a-z].py", "[!]", "[[", "a[b", "[&&]", "[^a]"])
def test_a_pattern_that_is_taken(pattern: str) -> None:
    assert require_glob(pattern) == pattern
    assert glob_matches(pattern, "zz/zz") in {True, False}


def test_a_gzip_bomb_is_not_unfolded() -> None:
    """Mutation tried: `gzip.decompress`."""
    bomb = base64.b64encode(gzip.compress(b"\0" * 50_000_000)).decode()
    with pytest.raises(DocumentUnreadable, match="longer than 1,000,000"):
        gunzipped_base64(bomb, "a release", DocumentBounds(size=1_000_000))
    whole = base64.b64encode(gzip.compress(b"content")).decode()
    assert gunzipped_base64(whole, "a release", DocumentBounds(size=7)) == b"content"
    for broken in (whole[:-8], "%", "YWJj"):
        with pytest.raises(DocumentUnreadable):
            gunzipped_base64(broken, "a release", DocumentBounds())


async def test_a_body_is_read_to_its_bound_and_no_further() -> None:
    taken = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(1_000):
            taken += 1
            yield b"x" * 1_000

    with pytest.raises(DocumentUnreadable, match="longer than 5,000 bytes"):
        await joined_body(chunks(), "the answer", DocumentBounds(size=5_000))
    assert taken == 6


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<a>" * 3_000, "more than 200 elements"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "document type"),
        (b"<a><b></a>", "not XML"),
        (b"<a>\xff</a>", "not XML"),
        (b"", "not XML"),
    ],
)
def test_xml_that_is_refused(content: bytes, reason: str) -> None:
    reader = XmlReader(content, XmlHandlers(lambda _name, _attributes: None, lambda: None, lambda _text: None))
    with pytest.raises(XmlRefused, match=reason):
        reader.read()
