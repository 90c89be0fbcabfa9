"""Requests of tests and their answers, in the order in which each test sends them.

Made by `recording` and `literals`, sent by `service_run`. It must not know what is compared.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from phasegate.infra.documents.bounds import MIB, DocumentBounds
from phasegate.infra.documents.json_text import read_json

_BOUNDS = DocumentBounds(size=64 * MIB, values=2_000_000)
_MOST_CONVERSATIONS, _MOST_REQUESTS, _LONGEST = 60, 200, 40
"""Bounds on what is sent: conversations, requests in sum, and of one conversation."""
_LONGEST_PATH = 2_000
_LEFT_OUT = ("host", "connection", "content-length", "user-agent", "accept-encoding", "transfer-encoding", "keep-alive")
"""Headers that a client sets for itself, in lower case."""
_OPAQUE = re.compile(r"/(?:[0-9a-fA-F]{12,}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?=[/?]|$)")
_NUMBER = re.compile(r"/\d+(?=/|$)")
_UPGRADES = ("upgrade", "sec-websocket-key", "expect")


@dataclass(frozen=True)
class ServedAnswer:
    """Answer to a request, as it was recorded or as a served one gave it."""

    status: int = 0
    """0: there was none that can be read."""
    headers: tuple[tuple[str, str], ...] = ()
    """Names in lower case."""
    body: bytes | None = None
    """`None`: not read, or not whole."""
    digest: str = ""
    """Of a body that is longer than what is kept of it."""
    error: str = ""

    def header(self, name: str) -> str:
        """First value of a header, or an empty string if there is none."""
        return next((value for own, value in self.headers if own == name), "")


@dataclass(frozen=True)
class ServedRequest:
    """Request that a test sends."""

    method: str
    path: str
    """With its query."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    recorded: ServedAnswer | None = None
    """Answer that the test got; `None`: read off the test's text."""

    @property
    def name(self) -> str:
        """Method and path, as the page names it: with a star for what was made up for one run."""
        return _OPAQUE.sub("/*", f"{self.method} {self.path}")

    @property
    def route(self) -> str:
        """Method and path without the query, and without what looks like an identifier."""
        return _NUMBER.sub("/*", self.name.partition("?")[0])


@dataclass(frozen=True)
class Conversation:
    """Requests of one test, in order."""

    file: str
    """Path of the test's file; empty: not known."""
    requests: tuple[ServedRequest, ...]
    criteria: tuple[str, ...] = ()
    """Criteria of the sealed file; none: no sealed test's."""
    is_sealed: bool = False


@dataclass
class RecordedExchanges:
    """All that was recorded of one run."""

    by_test: dict[tuple[str, str], list[ServedRequest]] = field(
        default_factory=dict[tuple[str, str], list[ServedRequest]]
    )
    """Requests by the file and the test, or the process, that sent them."""

    def add(self, line: str, process: str) -> None:
        """Add an exchange as the recorders write it; one that cannot be sent again is left out.

        Args:
            line: The exchange, as JSON.
            process: Names the process that wrote it.
        """
        try:
            exchange = _Told.model_validate(read_json(line, "an exchange", _BOUNDS))
        except ValueError:
            return
        asked = tuple(pairs(exchange.headers))
        is_method = exchange.method.isalpha() and exchange.method.isascii()
        if not is_method or not is_sendable(exchange.path) or any(name in _UPGRADES for name, _ in asked):
            return
        kept = tuple((name, value) for name, value in asked if name not in _LEFT_OUT)
        got = ServedAnswer(exchange.status, tuple(pairs(exchange.answered)), decoded(exchange.answer))
        request = ServedRequest(exchange.method.upper(), exchange.path, kept, decoded(exchange.body) or b"", got)
        self.by_test.setdefault((exchange.file, exchange.test or process), []).append(request)


class _Told(BaseModel):
    """Exchange as the recorders write it."""

    test: str
    file: str
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: str
    status: int
    answered: list[tuple[str, str]]
    answer: str | None


def is_sendable(path: str) -> bool:
    """True if a path can stand in a request's line."""
    return (
        path.startswith("/")
        and len(path) <= _LONGEST_PATH
        and path.isascii()
        and path.isprintable()
        and " " not in path
    )


def pairs(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Headers with names in lower case, without what is none or breaks a line."""
    for name, value in headers:
        if name and name.isascii() and name.isprintable() and not set(name) & set(" :") and value.isprintable():
            yield name.lower(), value


def decoded(text: str | None) -> bytes | None:
    """Bytes of base64; `None` for text that is none."""
    try:
        return None if text is None else base64.b64decode(text, validate=True)
    except ValueError:
        return None


def conversations(
    exchanges: RecordedExchanges, sealed: Mapping[str, tuple[str, ...]], texts: Mapping[str, str]
) -> list[Conversation]:
    """Conversations of all tests, those of sealed ones first, bounded in number and length.

    Args:
        exchanges: What was recorded.
        sealed: Criteria by path of the sealed files.
        texts: Content by path of the sealed files; a request of an unknown file is of one that holds its path.
    """
    talks: list[Conversation] = []
    for (file, _), requests in exchanges.by_test.items():
        for own, part in _by_file(file, requests, texts):
            talks.append(Conversation(own, tuple(part[:_LONGEST]), sealed.get(own, ()), own in sealed))
    talks.sort(key=lambda talk: not talk.is_sealed)
    return bounded(talks)


def bounded(talks: Iterable[Conversation]) -> list[Conversation]:
    """The first of different conversations, up to the bounds."""
    kept: list[Conversation] = []
    known: set[tuple[tuple[str, bytes], ...]] = set()
    left = _MOST_REQUESTS
    for talk in talks:
        key = tuple((request.name, request.body) for request in talk.requests)
        if key in known or not key:
            continue
        if len(kept) == _MOST_CONVERSATIONS or len(key) > left:
            break
        known.add(key)
        left -= len(key)
        kept.append(talk)
    return kept


def _by_file(
    file: str, requests: Sequence[ServedRequest], texts: Mapping[str, str]
) -> list[tuple[str, list[ServedRequest]]]:
    """Requests of a process whose test files are not known, split by the sealed file that names the path."""
    if file:
        return [(file, list(requests))]
    parts: list[tuple[str, list[ServedRequest]]] = []
    for request in requests:
        place = request.path.partition("?")[0]
        named = re.compile(rf"(?<![\w/]){re.escape(place)}(?![\w/-])")
        own = next((path for path, text in texts.items() if place != "/" and named.search(text)), file)
        if not parts or parts[-1][0] != own:
            parts.append((own, []))
        parts[-1][1].append(request)
    return parts
