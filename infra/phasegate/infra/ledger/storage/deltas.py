"""Delta encoding of requests: the common prefix with the one before, found in time proportional to the new bytes.

Used by `exchanges`. Requests are bytes here; the next request continues where the closing brackets of one begin.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol, Self

_CLOSING = 2
"""Bytes at the end of a request, its brackets, that the next one has further on. Where they are more, more is kept."""
_ATTEMPTS = 4
"""Of how many attempts the last request is remembered: a run has two agents at work at once."""


@dataclass(frozen=True, slots=True)
class RequestDelta:
    """Delta of a request, as it is stored.

    Attributes:
        shared: Number of characters at its beginning that the one before has too.
        rest: What comes after them.
        digest: The digest of the whole, as `artifacts.sha256` spells it.
    """

    shared: int
    rest: str
    digest: str


class _Digest(Protocol):
    """Digest that more bytes can be added to, as hashlib's."""

    def copy(self) -> Self: ...

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Prefix:
    """So many bytes of a request, counted and digested already: what the next one is expected to begin with."""

    request: bytes
    length: int
    characters: int
    digest: _Digest

    def begins(self, request: bytes) -> bool:
        """True if a request begins with it; nothing is copied, for it may be hundreds of kilobytes."""
        return request.startswith(memoryview(self.request)[: self.length])


class DeltaEncoder:
    """Encoder that remembers the last requests of the attempts at work."""

    def __init__(self) -> None:
        """Nothing has been sent."""
        self._prefixes: dict[str, _Prefix] = {}

    def encode(self, attempt_id: str, request: bytes, previous: bytes) -> RequestDelta:
        """Encode a request as the delta to the one before it.

        Args:
            attempt_id: Whose request.
            request: Its body.
            previous: The one before it, as it is stored; empty for an attempt's first.
        """
        shared = self._prefixes.pop(attempt_id, None)
        if shared is None or shared.request != previous or not shared.begins(request):
            length = _at_character(request, _common(previous, request))
            content = request[:length]
            shared = _Prefix(request, length, len(content.decode()), hashlib.sha256(content))
        rest = request[shared.length :]
        whole = shared.digest.copy()
        whole.update(rest)
        part = RequestDelta(shared.characters, rest.decode(), f"sha256:{whole.hexdigest()}")
        self._remember(attempt_id, shared, request)
        return part

    def _remember(self, attempt_id: str, shared: _Prefix, request: bytes) -> None:
        length = max(shared.length, _at_character(request, len(request) - _CLOSING))
        more = request[shared.length : length]
        digest = shared.digest.copy()
        digest.update(more)
        self._prefixes[attempt_id] = _Prefix(request, length, shared.characters + len(more.decode()), digest)
        if len(self._prefixes) > _ATTEMPTS:
            del self._prefixes[next(iter(self._prefixes))]


def _common(first: bytes, second: bytes) -> int:
    """Number of leading bytes that two requests share, by bisection: they are long and nearly equal."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _at_character(text: bytes, length: int) -> int:
    """The nearest place at or before a length where no character is torn apart."""
    while 0 < length < len(text) and text[length] & 0xC0 == 0x80:
        length -= 1
    return length
