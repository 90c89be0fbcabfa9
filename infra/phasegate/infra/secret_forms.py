"""Forms of secrets: the token formats that each provider documents, found in linear time.

Called by `secrets`. A search looks for a sign, a short text with which every secret of the form begins, and reads on
from there. No character is read more than a few times, and no single call of the interpreter takes long: texts come
from agents. It must not know what becomes of a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

_WINDOW = 256 * 1024
"""Characters that one call searches for a sign in any case, so that other threads may go on in between."""


class Span(NamedTuple):
    """Place of a secret in a text."""

    start: int
    end: int


@dataclass(frozen=True)
class SecretForm:
    """Form of secrets of one kind.

    Attributes:
        signs: Texts with which such secrets begin.
        pattern: Matches a secret from its sign on. A failed match reads no further than `run`, or a fixed length.
        run: Characters after a sign that a failed match has ruled out; `None` if it rules out the sign alone.
        is_word: True if a secret begins where a word may begin.
        closing: Sign and pattern of the end, if a secret has one; without an end it takes the rest of the text.
        any_case: True if the sign may be spelled in any case.
    """

    signs: tuple[str, ...]
    pattern: re.Pattern[str]
    run: re.Pattern[str] | None = None
    is_word: bool = True
    closing: tuple[str, re.Pattern[str]] | None = None
    any_case: bool = False

    def spans(self, text: str) -> list[Span]:
        """The secrets of this form in a text, in their order; none overlaps another."""
        signs = [sign for sign in self.signs if self.any_case or sign in text]
        spans = [span for sign in signs for span in self._spans(text, sign)]
        return without_overlaps(spans) if spans else spans

    def _spans(self, text: str, sign: str) -> Iterator[Span]:
        after = 0
        for at in _in_any_case(text, sign) if self.any_case else places(text, sign):
            if at < after or (self.is_word and _is_inside_word(text, at)):
                continue
            if match := self.pattern.match(text, at):
                after = self._end(text, match.end())
                yield Span(*match.span("secret")) if "secret" in match.re.groupindex else Span(at, after)
            elif self.run is not None and (ruled_out := self.run.match(text, at)):
                after = ruled_out.end()

    def _end(self, text: str, begin: int) -> int:
        if self.closing is None:
            return begin
        sign, pattern = self.closing
        at = text.find(sign, begin)
        while at >= 0:
            if match := pattern.match(text, at):
                return match.end()
            at = text.find(sign, at + 1)
        return len(text)


def places(text: str, part: str) -> Iterator[int]:
    """Each place where a text has a part, overlapping ones included."""
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _in_any_case(text: str, sign: str) -> Iterator[int]:
    """Each place where a text has a sign in any case."""
    pattern = _any_case(sign)
    for start in range(0, len(text), _WINDOW):
        end = start + _WINDOW + len(sign) - 1
        if sign in text[start:end].casefold():
            yield from (match.start() for match in pattern.finditer(text, start, end))


@cache
def _any_case(sign: str) -> re.Pattern[str]:
    return re.compile(re.escape(sign), re.IGNORECASE)


def without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """Spans in their order; of those that overlap, the first one, and the longest of those that begin together."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept


def _is_inside_word(text: str, at: int) -> bool:
    """True if the character before a place is a word's, and no secret begins here."""
    return at > 0 and (text[at - 1].isalnum() or text[at - 1] == "_")


_RUN = re.compile(r"[A-Za-z0-9_-]*+")

FORMS: Mapping[str, SecretForm] = {
    "private key": SecretForm(
        ("-----BEGIN ",),
        re.compile(r"-----BEGIN (?:[A-Z0-9]{1,40} ){0,8}PRIVATE KEY(?: BLOCK)?-----"),
        re.compile(r"-----BEGIN [A-Z0-9 ]*+"),
        is_word=False,
        closing=("-----END ", re.compile(r"-----END (?:[A-Z0-9]{1,40} ){0,8}PRIVATE KEY(?: BLOCK)?-----")),
    ),
    "AWS key": SecretForm(("AKIA", "ASIA"), re.compile(r"A[KS]IA[0-9A-Z]{16}\b")),
    "AWS secret": SecretForm(
        ("aws_secret_access_key",),
        re.compile(r"(?i)aws_secret_access_key['\"]?\s*+[=:]\s*+['\"]?(?P<secret>[A-Za-z0-9/+=]{40})"),
        re.compile(r"(?i)aws_secret_access_key['\"]?\s*+[=:]?\s*+"),
        is_word=False,
        any_case=True,
    ),
    "GitHub token": SecretForm(
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        re.compile(r"gh[pousr]_[A-Za-z0-9]{36,}+|github_pat_[A-Za-z0-9_]{50,}+"),
    ),
    "GitLab token": SecretForm(("glpat-",), re.compile(r"glpat-[A-Za-z0-9_-]{20,}+")),
    "Anthropic key": SecretForm(("sk-ant-",), re.compile(r"sk-ant-[A-Za-z0-9_-]{20,}+")),
    "OpenAI key": SecretForm(("sk-",), re.compile(r"sk-(?=[A-Za-z_-]*+[0-9])[A-Za-z0-9_-]{32,}+"), _RUN),
    "Slack token": SecretForm(("xox",), re.compile(r"xox[abeoprs]-[A-Za-z0-9-]{20,}+")),
    "Google key": SecretForm(("AIza",), re.compile(r"AIza[A-Za-z0-9_-]{35}")),
    "Stripe key": SecretForm(("rk_live_", "sk_live_"), re.compile(r"[rs]k_live_[A-Za-z0-9]{20,}+")),
    "npm token": SecretForm(("npm_",), re.compile(r"npm_[A-Za-z0-9]{36}\b")),
    "PyPI token": SecretForm(("pypi-AgE",), re.compile(r"pypi-AgE[A-Za-z0-9_-]{50,}+")),
    "JWT": SecretForm(
        ("eyJ",),
        re.compile(r"eyJ[A-Za-z0-9_-]{10,}+\.eyJ[A-Za-z0-9_-]{10,}+\.[A-Za-z0-9_-]{10,}+"),
        _RUN,
    ),
}
