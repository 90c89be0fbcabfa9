"""Masking of secrets: finds what looks like one, and gives the text without it.

Called for every text on its way to a model, the ledger or an artifact: tool output, drafts, briefs, tickets,
changes. Pure: it reads no file and no environment by itself. It must not know where a text comes from or goes. The
time it takes grows with the text and no faster.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from urllib.parse import quote

from phasegate.infra.secret_forms import FORMS, Span, places, without_overlaps

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|PAT)(?:_ID)?$", re.IGNORECASE
)
_URL_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_SHORTEST = 8
_PLAIN_WORD = re.compile(r"[a-z]{,11}|[A-Z]{,11}|[A-Z][a-z]{,10}|(?:/[\w.-]+)+")
"""`password` and paths: masking them would hit ordinary text."""
_DIGEST_CHARACTERS = 8


@dataclass(frozen=True)
class Leak:
    """A secret that stood in a text; never the secret itself.

    Attributes:
        kind: What it looks like, or the name of the variable that holds it.
        digest: The first characters of its SHA-256, to tell one from another.
    """

    kind: str
    digest: str


@dataclass(frozen=True)
class Masked:
    """A text without its secrets, and what was taken out."""

    text: str
    leaks: tuple[Leak, ...] = ()


class Secrets:
    """The secrets that are known by value, and the forms that others have."""

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        """Know these.

        Args:
            known: Name to value; short values and plain words are passed over, they would hit ordinary text.
        """
        self._known: dict[str, str] = {}
        for name, value in (known or {}).items():
            for form in _forms(value.strip()):
                self._known.setdefault(form, name)

    @classmethod
    def of(cls, environment: Mapping[str, str], *, public: Iterable[str] = ()) -> Secrets:
        """The secrets among an environment's variables: by name, and the passwords in URLs.

        Args:
            environment: Variables.
            public: Names that are no secret though they sound like one.
        """
        shown = set(public)
        known = {name: value for name, value in environment.items() if _SECRET_NAME.search(name) and name not in shown}
        for name, value in environment.items():
            if match := _URL_PASSWORD.search(value):
                known[f"the password in {name}"] = match[1]
        return cls(known)

    def mask(self, text: str) -> Masked:
        """The text with `[masked: KIND DIGEST]` in the place of each secret."""
        leaks: dict[Leak, None] = {}

        def leak(kind: str, secret: str) -> str:
            taken_out = Leak(kind, hashlib.sha256(secret.encode(errors="replace")).hexdigest()[:_DIGEST_CHARACTERS])
            leaks[taken_out] = None
            return f"[masked: {taken_out.kind} {taken_out.digest}]"

        text = _replaced(text, self._known_spans(text), lambda secret: leak(self._known[secret], secret))
        for kind, form in FORMS.items():
            if spans := form.spans(text):
                text = _replaced(text, spans, partial(leak, kind))
        return Masked(text, tuple(leaks))

    def mask_known(self, text: str) -> str:
        """The text without the secrets known by value; forms are left alone."""
        return _replaced(text, self._known_spans(text), lambda secret: f"[masked: {self._known[secret]}]")

    def _known_spans(self, text: str) -> list[Span]:
        known = [form for form in self._known if form in text]
        return without_overlaps(Span(at, at + len(form)) for form in known for at in places(text, form))

    def known_in(self, text: str) -> str:
        """Name of a secret, known by value, that a text holds, or an empty string if it holds none."""
        return next((name for form, name in self._known.items() if form in text), "")

    def mask_all(self, value: Any, *, opaque: Collection[str] = ()) -> tuple[Any, tuple[Leak, ...]]:
        """JSON with every text in it masked, keys aside.

        Args:
            value: JSON.
            opaque: Keys whose values are left as they are, because only their maker reads them.
        """
        leaks: dict[Leak, None] = {}

        def walk(part: Any) -> Any:
            if isinstance(part, str):
                masked = self.mask(part)
                leaks.update(dict.fromkeys(masked.leaks))
                return masked.text
            if isinstance(part, dict):
                members = cast("dict[str, Any]", part).items()
                return {key: value if key in opaque else walk(value) for key, value in members}
            if isinstance(part, list | tuple):
                return [walk(item) for item in cast("list[Any]", part)]
            return part

        return walk(value), tuple(leaks)


def _replaced(text: str, spans: Sequence[Span], replacement: Callable[[str], str]) -> str:
    """A text with another one in the place of each span."""
    if not spans:
        return text
    parts: list[str] = []
    at = 0
    for span in spans:
        parts += (text[at : span.start], replacement(text[span.start : span.end]))
        at = span.end
    return "".join([*parts, text[at:]])


def _forms(value: str) -> Iterable[str]:
    """A value, and how it looks in the encodings that text commonly passes through."""
    if len(value) < _SHORTEST or _PLAIN_WORD.fullmatch(value):
        return
    raw = value.encode(errors="surrogateescape")
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="")
    yield raw.hex()
    yield base64.b64encode(raw).decode().rstrip("=")
    yield base64.urlsafe_b64encode(raw).decode().rstrip("=")
    yield value[::-1]
