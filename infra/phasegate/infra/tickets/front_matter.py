"""Markdown with optional YAML front matter: what a ticket in a file looks like.

    ---
    title: Greet by name
    labels: [api, small]
    ---
    The greeting should …

Used by `read` for files and standard input. It must not know where the text comes from.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import cast

from phasegate.infra.documents.bounds import DocumentBounds
from phasegate.infra.documents.yaml_text import read_yaml
from phasegate.infra.errors import DocumentUnreadable, TicketError

MAX_TITLE = 200
_BOUNDS = DocumentBounds(size=64 * 1024, depth=20, values=10_000)
_LABELS = "labels must be a list of texts, or one text with commas"
_KNOWN = ("title", "key", "labels", "author")


@dataclass(frozen=True)
class TicketText:
    """Text of a ticket, taken apart.

    Attributes:
        key: From the front matter; empty if it names none.
        other: Front matter under keys that mean nothing to phasegate, as JSON.
    """

    title: str
    body: str
    key: str
    labels: tuple[str, ...]
    author: str
    other: str


def parse_ticket_text(text: str) -> TicketText:
    """Read a ticket's text. The title is the front matter's, else the first heading, else the first line.

    Raises:
        TicketError: There is nothing but white space; or the front matter is never closed, is no YAML mapping, or
            gives a known key the wrong shape. The message names the line.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    fields, body = _split(lines)
    body_text = "\n".join(body).strip()
    title = _text(fields, "title") or _title_of(body_text)
    if not title:
        raise TicketError("The ticket says nothing.", remedy="Write at least one line about what is wanted.")
    return TicketText(
        title=title if len(title) <= MAX_TITLE else f"{title[: MAX_TITLE - 1]}…",
        body=body_text,
        key=_text(fields, "key"),
        labels=_labels(fields),
        author=_text(fields, "author"),
        other=json.dumps({key: value for key, value in fields.items() if key not in _KNOWN}, ensure_ascii=False),
    )


def fallback_key(prefix: str, content: bytes) -> str:
    """A key for a ticket without one: the same for the same content."""
    return f"{prefix}-{hashlib.sha256(content).hexdigest()[:8]}"


def _split(lines: list[str]) -> tuple[dict[str, object], list[str]]:
    if lines[0].rstrip() != "---":
        return {}, lines
    end = next((index for index, line in enumerate(lines[1:], start=1) if line.rstrip() in {"---", "..."}), None)
    if end is None:
        raise _bad(1, "it is opened here and never closed", remedy="Close it with a line `---`.")
    return _fields("\n".join(lines[1:end])), lines[end + 1 :]


def _fields(text: str) -> dict[str, object]:
    try:
        # all scalars are text: no dates, no numbers
        document = read_yaml(text, "", schema="text", bounds=_BOUNDS, first_line=2)
    except DocumentUnreadable as error:
        raise _bad(error.line, error.reason) from error
    if document is None or document.value == "":
        return {}
    if not isinstance(document.value, dict):
        raise _bad(2, "it must be lines of `key: value`")
    return cast("dict[str, object]", document.value)


def _text(fields: dict[str, object], key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise _bad(None, f"{key} must be text")
    return " ".join(value.split())


def _labels(fields: dict[str, object]) -> tuple[str, ...]:
    value = fields.get("labels", "")
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list):
        raise _bad(None, _LABELS)
    labels: list[str] = []
    for item in cast("list[object]", items):
        if not isinstance(item, str):
            raise _bad(None, _LABELS)
        labels.append(item.strip())
    return tuple(label for label in labels if label)


def _title_of(body: str) -> str:
    heading = re.search(r"^ {0,3}#{1,6}[ \t]+(\S.*)$", body, re.MULTILINE)
    if heading and (title := heading[1].rstrip().rstrip("#").rstrip()):
        return title
    return body.partition("\n")[0].strip()


def _bad(line: int | None, reason: str, *, remedy: str = "Correct it, or leave the front matter out.") -> TicketError:
    where = f", line {line}" if line else ""
    return TicketError(f"The ticket's front matter is invalid{where}: {reason}.", remedy=remedy)
