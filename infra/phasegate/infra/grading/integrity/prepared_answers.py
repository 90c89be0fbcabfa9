"""Answers that a change has prepared for the inputs of sealed tests, in an unreadable form: digests, packed data.

Called by `hard_coded`. A table of answers need not spell its inputs: it may be keyed by their digests, or be packed. No
honest change holds the digest of an input that only a sealed test has, and what is unpacked is read like any text. It
must not know how a test fared, and runs nothing of the change.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import contextlib
import hashlib
import io
import json
import lzma
import pickletools
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Self, cast

from phasegate.infra.documents.json_text import read_json
from phasegate.infra.documents.python_source import read_python_literal

_CALL = re.compile(r"(?<![\w.])([A-Za-z_][\w.]*)\(((?:[^()\"'\n]|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')+)\)")
_MOST_CALLS = 60
_BETWEEN = ("", " ", ",", ", ", ":", "|", "-", "_", "/", ";", "\n", "\0", "\t")
_ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b", "blake2s", "sha3_256", "sha3_512")
_CHECKSUMS: tuple[Callable[[bytes], int], ...] = (zlib.crc32, zlib.adler32)
_HEX = re.compile(r"(?<![0-9a-z])(?:0x)?([0-9a-f]{8,})(?![0-9a-z])", re.IGNORECASE)
_SHORTEST_HEX = 10
_SHORTEST_BYTES = 8
_LONGEST = 256 * 1024
"""Bytes of a file that are searched for digests as they are."""
_INTEGER = re.compile(r"(?<![\w.])\d{7,40}(?![\w.])")
_BASE64 = re.compile(rb"(?=[A-Za-z+/_-]*\d)[A-Za-z0-9+/_-]{20,}={0,2}")
_CONTINUED = re.compile(rb"([\"'`])\s*(?:\+|\\)?\s*[bBrRuU]{0,2}\1(?=[A-Za-z0-9+/_=-])")
"""Two literals that make one text, from the end of the first to the start of the second."""
_QUOTED = re.compile(rb"[\"'`]([!-~]{20,})[\"'`]")
_BYTES = re.compile(rb"(?:\b\d{1,3}\s*,\s*){11,}\d{1,3}\b")
_MOST_TOKENS = 16
_LARGEST = 4 * 1024 * 1024
_DEEPEST = 3


@dataclass(frozen=True)
class PreparedAnswers:
    """Calls with constants in sealed tests, and how their inputs may be found again."""

    calls: frozenset[tuple[str, ...]] = frozenset()
    """Arguments of each call as a list in JSON, after the function's name."""
    said: str = ""
    """Text of the sealed tests; a digest in it is what they are about."""

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """The calls in sealed tests of any language, as far as their arguments are constants.

        Args:
            texts: The tests.
        """
        calls = islice((call for text in texts for call in _calls(text)), _MOST_CALLS)
        return cls(frozenset(calls), "\n".join(texts).lower())

    def digested(self, text: str) -> bool:
        """True if a text holds a digest or a checksum of what a sealed test puts in."""
        tokens = {token.lower() for token in _HEX.findall(text)}
        numbers = {int(number) for number in _INTEGER.findall(text)}
        if (tokens or numbers) and (tokens & self._checksums.keys() or numbers & set(self._checksums.values())):
            return True
        starts = {token[:_SHORTEST_HEX] for token in tokens if len(token) >= _SHORTEST_HEX}
        prefixes = starts & self._digests.keys() if starts else ()
        return any(
            self._digests[token[:_SHORTEST_HEX]].startswith(token)
            for token in tokens
            if token[:_SHORTEST_HEX] in prefixes
        )

    def digested_bytes(self, content: bytes) -> bool:
        """True if bytes hold such a digest as it is."""
        places = range(min(len(content), _LONGEST) - _SHORTEST_BYTES + 1)
        return any(content[place : place + _SHORTEST_BYTES] in self._starts for place in places)

    @cached_property
    def _inputs(self) -> frozenset[bytes]:
        return frozenset(text.encode() for call in self.calls for text in _renderings(*call) if text)

    @cached_property
    def _digests(self) -> dict[str, str]:
        """Digests in hexadecimal digits, by how they begin."""
        digests = [hashlib.new(name, content).hexdigest() for name in _ALGORITHMS for content in self._inputs]
        return {digest[:_SHORTEST_HEX]: digest for digest in digests if digest[:_SHORTEST_HEX] not in self.said}

    @cached_property
    def _starts(self) -> frozenset[bytes]:
        return frozenset(bytes.fromhex(digest)[:_SHORTEST_BYTES] for digest in self._digests.values())

    @cached_property
    def _checksums(self) -> dict[str, int]:
        numbers = [checksum(content) for checksum in _CHECKSUMS for content in self._inputs if len(content) > 1]
        return {f"{number:08x}": number for number in numbers if f"{number:08x}" not in self.said}


def unpacked(content: bytes, depth: int = 0) -> Iterator[bytes]:
    """Unpack what some bytes hold: compressed, archived, in base64, in hexadecimal digits, pickled.

    Args:
        content: A file, or what was unpacked of one.
        depth: Number of times that it was unpacked.
    """
    if depth == _DEEPEST:
        return
    for part in islice(_parts(content[:_LARGEST]), 64):
        yield part
        yield from unpacked(part, depth + 1)


def _parts(content: bytes) -> Iterator[bytes]:
    for unpack in (_inflated, _unzipped, _unpickled, _decoded, _listed):
        yield from unpack(content)
    for decompressor in (bz2.BZ2Decompressor, lzma.LZMADecompressor):
        try:
            yield decompressor().decompress(content, max_length=_LARGEST)
        except (OSError, lzma.LZMAError, EOFError, ValueError):
            continue


def _decoded(content: bytes) -> Iterator[bytes]:
    """Bytes that texts spell in base 64, 85, 32 or 16; a text may be continued in the next literal."""
    whole = _CONTINUED.sub(b"", content)
    spelled = {*_BASE64.findall(content), *_BASE64.findall(whole)}
    for token in sorted(spelled, key=lambda token: (-len(token), token))[:_MOST_TOKENS]:
        bare = token.rstrip(b"=")
        padded = bare + b"=" * (-len(bare) % 4)
        for decode, text in (
            (base64.b64decode, padded),
            (base64.urlsafe_b64decode, padded),
            (binascii.unhexlify, token),
        ):
            with contextlib.suppress(binascii.Error, ValueError):
                yield decode(text)
    for token in _QUOTED.findall(whole)[:_MOST_TOKENS]:
        for decode in (base64.b85decode, base64.b32decode):
            with contextlib.suppress(binascii.Error, ValueError):
                yield decode(token)


def _listed(content: bytes) -> Iterator[bytes]:
    """Bytes that are listed as numbers."""
    for numbers in _BYTES.findall(content)[:_MOST_TOKENS]:
        values = [int(number) for number in numbers.split(b",")]
        if max(values) < 256:
            yield bytes(values)


def _inflated(content: bytes) -> Iterator[bytes]:
    for wbits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # with a header of zlib or gzip; bare
        try:
            yield zlib.decompressobj(wbits=wbits).decompress(content, _LARGEST)
        except zlib.error:
            continue


def _unzipped(content: bytes) -> Iterator[bytes]:
    if not content.startswith(b"PK\3\4"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist()[:64]:
                with archive.open(name) as member:
                    yield member.read(_LARGEST)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, zlib.error, ValueError):
        return


def _unpickled(content: bytes) -> Iterator[bytes]:
    """Texts and numbers of a pickle, a line each; nothing of it is loaded."""
    if not content.startswith(b"\x80"):
        return
    lines: list[str] = []
    try:
        lines += [repr(argument) for _, argument, _ in pickletools.genops(content) if argument is not None]
    except (ValueError, IndexError, UnicodeDecodeError, OverflowError):
        return
    yield "\n".join(lines).encode()


def _calls(text: str) -> Iterator[tuple[str, ...]]:
    for name, inner in _CALL.findall(text):
        try:
            yield name.rpartition(".")[2], json.dumps(read_python_literal(f"({inner},)", "a call"))
        except (ValueError, TypeError):  # no literals, or none that JSON has
            continue


def _renderings(name: str, arguments: str) -> Iterator[str]:
    """Texts that a program may make of a call's arguments, to look them up by."""
    values = cast("list[Any]", read_json(arguments, "a call", constants=True))
    forms = [list(map(str, values)), list(map(repr, values)), [json.dumps(value) for value in values]]
    forms += [[change(text) for text in forms[0]] for change in (str.lower, str.upper, str.strip)]
    for form in forms:
        for between in _BETWEEN:
            joined = between.join(form)
            yield from (joined, f"{name}{between}{joined}", f"{name}({joined})", f"({joined})", f"[{joined}]")
        yield from form
    yield repr(tuple(values))
    yield json.dumps(values, separators=(",", ":"))
