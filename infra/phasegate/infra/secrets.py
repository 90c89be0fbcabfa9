"""Masking of secrets: finds what looks like one, and gives the text without it.

Called for every text on its way to a model, the ledger or an artifact: tool output, drafts, briefs, tickets,
changes. Pure: it reads no file and no environment by itself. It must not know where a text comes from or goes.
Source of the patterns: the token formats that each provider documents.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast
from urllib.parse import quote

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|PAT)(?:_ID)?$", re.IGNORECASE
)
_URL_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_SHORTEST = 8
_PLAIN_WORD = re.compile(r"[a-z]{,11}|[A-Z]{,11}|[A-Z][a-z]{,10}|(?:/[\w.-]+)+")
"""`password` and paths: masking them would hit ordinary text."""
_DIGEST_CHARACTERS = 8


class _Form(NamedTuple):
    """Form of secrets of one kind.

    Attributes:
        pattern: Finds them.
        signs: Texts in lower case, of which every such secret has one. A text without any is not searched: a search
            takes a hundred times as long.
    """

    pattern: re.Pattern[str]
    signs: tuple[str, ...]


_FORMS: Mapping[str, _Form] = {
    "private key": _Form(
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?"
            r"(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\Z)"
        ),
        ("private key",),
    ),
    "AWS key": _Form(re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), ("akia", "asia")),
    "AWS secret": _Form(
        re.compile(r"(?i)aws_secret_access_key['\"]?\s*[=:]\s*['\"]?(?P<secret>[A-Za-z0-9/+=]{40})"),
        ("aws_secret_access_key",),
    ),
    "GitHub token": _Form(
        re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})"),
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    ),
    "GitLab token": _Form(re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}"), ("glpat-",)),
    "Anthropic key": _Form(re.compile(r"\bsk-ant-[A-Za-z0-9_-]{20,}"), ("sk-ant-",)),
    "OpenAI key": _Form(
        re.compile(r"\bsk-(?:proj-|svcacct-|admin-)?(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{32,}"), ("sk-",)
    ),
    "Slack token": _Form(re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{20,}"), ("xox",)),
    "Google key": _Form(re.compile(r"\bAIza[A-Za-z0-9_-]{35}"), ("aiza",)),
    "Stripe key": _Form(re.compile(r"\b[rs]k_live_[A-Za-z0-9]{20,}"), ("k_live_",)),
    "npm token": _Form(re.compile(r"\bnpm_[A-Za-z0-9]{36}\b"), ("npm_",)),
    "PyPI token": _Form(re.compile(r"\bpypi-AgE[A-Za-z0-9_-]{50,}"), ("pypi-",)),
    "JWT": _Form(re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"), ("eyj",)),
}
_SIGNS = frozenset(sign for form in _FORMS.values() for sign in form.signs)


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
        forms = sorted(self._known, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, forms))) if forms else None

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

        def replace(kind: str, match: re.Match[str]) -> str:
            group = "secret" if "secret" in match.re.groupindex else 0
            leak = Leak(kind, hashlib.sha256(match[group].encode(errors="replace")).hexdigest()[:_DIGEST_CHARACTERS])
            leaks[leak] = None
            return match[0].replace(match[group], f"[masked: {leak.kind} {leak.digest}]")

        if self._values:
            text = self._values.sub(lambda match: replace(self._known[match[0]], match), text)
        lower = text.casefold()
        signs = {sign for sign in _SIGNS if sign in lower}
        for kind, form in _FORMS.items() if signs else ():
            if not signs.isdisjoint(form.signs):
                text = form.pattern.sub(lambda match, kind=kind: replace(kind, match), text)  # type: ignore[misc]  # the loop's variable is bound at once
        return Masked(text, tuple(leaks))

    def mask_known(self, text: str) -> str:
        """The text without the secrets known by value; forms are left alone."""
        return self._values.sub(lambda match: f"[masked: {self._known[match[0]]}]", text) if self._values else text

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
