"""Comparison of two answers to one request, without what differs between any two starts of a service.

Called by `served_check`. It must not know whose answers these are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from phasegate.infra.documents.json_text import read_json
from phasegate.infra.errors import DocumentUnreadable
from phasegate.infra.grading.served.exchanges import ServedAnswer
from phasegate.infra.grading.served.service_run import Asked
from phasegate.infra.workspace.change_set import readable

_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_VOLATILE = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"
    rf"|\b\d{{1,2}} (?:{_MONTHS}) \d{{4}} \d\d:\d\d:\d\d(?: GMT)?"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|(?:127\.0\.0\.1|localhost|0\.0\.0\.0)(?::\d{2,5})?"
    r"|\b1[6-9]\d{8}(?:\d{3})?(?:\.\d+)?\b"
    r"|\b0x[0-9a-f]{6,}\b",
    re.IGNORECASE,
)
"""Times, identifiers, addresses of this machine, seconds since 1970, places in memory."""
_COMPARED = ("content-type", "location", "www-authenticate")
_SHOWN = 80


def differs(answer: ServedAnswer, other: ServedAnswer, roots: tuple[str, str] = ("", "")) -> bool:
    """Tell if two answers differ in status, body or a header that counts.

    Args:
        answer: An answer.
        other: Another.
        roots: Folders of the services that gave them, which answers may name.
    """
    return _essence(answer, roots[0]) != _essence(other, roots[1])


def is_other(recorded: ServedAnswer, answer: ServedAnswer) -> bool:
    """Tell if a test got another status or body; a body that was not recorded is not compared.

    Args:
        recorded: Answer that a test got.
        answer: Answer of a served one.
    """
    if recorded.body is None or answer.digest:
        return recorded.status != answer.status
    return differs(replace(recorded, headers=()), replace(answer, headers=()))


def differing(start: Asked, other: Asked, same: Callable[[int], bool] = lambda _: True) -> dict[tuple[int, int], None]:
    """Places of answers that differ between two starts: conversation and request.

    Args:
        start: A start.
        other: Another one.
        same: True for conversations to compare.
    """
    places: dict[tuple[int, int], None] = {}
    for at, (left, right) in enumerate(zip(start.answers, other.answers, strict=False)):
        for number, pair in enumerate(zip(left, right, strict=True)):
            if same(at) and differs(*pair, roots=(start.root, other.root)):
                places[at, number] = None
    return places


def said(answer: ServedAnswer) -> str:
    """An answer in a few words."""
    if not answer.status:
        return f"no answer ({readable(answer.error)})" if answer.error else "no answer"
    text = " ".join((answer.body or b"").decode(errors="replace").split())
    where = f" to {answer.header('location')}" if answer.header("location") else ""
    shown = readable(text[:_SHOWN] + ("…" if len(text) > _SHOWN else ""))
    return f"{answer.status}{readable(where)} {shown}".rstrip()


def apart(served: ServedAnswer, other: ServedAnswer) -> tuple[str, str]:
    """Both in a few words; of two long bodies, the part where they first differ."""
    left, right = (
        _normalized(" ".join((answer.body or b"").decode(errors="replace").split())) for answer in (served, other)
    )
    pairs = enumerate(zip(left, right, strict=False))
    first = next((at for at, pair in pairs if pair[0] != pair[1]), min(len(left), len(right)))
    if served.status != other.status or first <= _SHOWN // 2:
        return said(served), said(other)
    start = first - _SHOWN // 4
    return _part(served, left, start), _part(other, right, start)


def _part(answer: ServedAnswer, text: str, start: int) -> str:
    return f"{answer.status} …{readable(text[start : start + _SHOWN])}"


@lru_cache(maxsize=4096)
def _essence(answer: ServedAnswer, root: str) -> Sequence[object]:
    headers = [answer.header(name).partition(";")[0].strip().lower() for name in _COMPARED if name != "location"]
    cookies = sorted(value.partition("=")[0] for name, value in answer.headers if name == "set-cookie")
    place = _normalized(answer.header("location"), root)
    return (answer.status, *headers, place, *cookies, _body(answer, root), "" if answer.status else answer.error)


def _body(answer: ServedAnswer, root: str) -> str:
    if answer.digest:
        return answer.digest
    text = (answer.body or b"").decode(errors="replace")
    if "json" in answer.header("content-type") or text[:1] in ("{", "["):
        with suppress(DocumentUnreadable):  # text that only looks like JSON
            text = json.dumps(read_json(text, "the answer", constants=True), sort_keys=True, ensure_ascii=False)
    return _normalized(text, root)


def _normalized(text: str, root: str = "") -> str:
    return _VOLATILE.sub("*", text.replace(root, "*") if root else text)
