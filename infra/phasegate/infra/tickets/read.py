"""From what a person typed to a ticket: `-`, an issue's address, or a file.

Called by the command line and by intake. It must not print or ask anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import httpx

from phasegate.infra.documents.text import REPLACEMENT
from phasegate.infra.errors import TicketError
from phasegate.infra.tickets.front_matter import fallback_key, parse_ticket_text
from phasegate.infra.tickets.github import read_issue
from phasegate.infra.tickets.ticket import MAX_BYTES, Ticket

_WAYS = "Pass a Markdown file, `-` for standard input, or a GitHub issue's address."


def read_ticket(
    reference: str,
    *,
    stdin: Callable[[], bytes],
    environment: Mapping[str, str],
    http: httpx.Client | None = None,
) -> Ticket:
    """Read the ticket a person named.

    Args:
        reference: `-`, an http(s) address of a GitHub issue, or a path.
        stdin: Gives standard input's bytes; called for `-` only.
        environment: Where tokens and API addresses are taken from.
        http: The client for issues; None: one of its own.

    Raises:
        TicketError: There is no such file, or it is a folder or cannot be read; it is empty, not UTF-8, over 1 MiB,
            or its front matter does not hold; the issue cannot be read; a tracker's key is given and no tracker is
            configured.
    """
    if reference == "-":
        return _from_text(stdin(), source="stdin", name="Standard input")
    if re.match(r"https?://", reference, re.IGNORECASE):
        return read_issue(reference, environment=environment, http=http)
    return _from_text(_file(reference), source="file", name=f"The ticket {reference}")


def _file(reference: str) -> bytes:
    path = Path(reference)
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except IsADirectoryError as error:
        raise TicketError(f"The ticket {reference} is a folder.", remedy=_WAYS) from error
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a NUL in the name
        raise _no_such(reference) from error
    except OSError as error:
        raise TicketError(f"The ticket {reference} cannot be read: {error.strerror}.", remedy=_WAYS) from error


def _no_such(reference: str) -> TicketError:
    if re.fullmatch(r"[A-Z][A-Z0-9_]*-[0-9]+", reference):
        return TicketError(
            f"{reference} looks like a tracker's key, and no tracker is configured.",
            remedy=f"{_WAYS} For a GitHub issue that is https://github.com/OWNER/REPO/issues/N.",
        )
    if re.fullmatch(r"[\w.-]+/[\w.-]+#[0-9]+", reference):
        owner_and_name, _, number = reference.partition("#")
        return TicketError(
            f"There is no file {reference}.",
            remedy=f"For the GitHub issue, pass https://github.com/{owner_and_name}/issues/{number}.",
        )
    return TicketError(f"There is no ticket file {reference}.", remedy=_WAYS)


def _from_text(content: bytes, *, source: Literal["file", "stdin"], name: str) -> Ticket:
    if len(content) > MAX_BYTES:
        raise TicketError(f"{name} is over 1 MiB.", remedy="Pass the request itself, not what it is about.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TicketError(f"{name} is not UTF-8 (line {line}).", remedy="Save it as UTF-8.") from error
    if not text.strip():
        raise TicketError(f"{name} is empty.", remedy="Write at least one line about what is wanted.")
    ticket_text = parse_ticket_text(text.replace("\0", REPLACEMENT))
    return Ticket(
        title=ticket_text.title,
        body=ticket_text.body,
        key=ticket_text.key or fallback_key(source.upper(), content),
        labels=ticket_text.labels,
        author=ticket_text.author,
        source=source,
        native_ref=ticket_text.other,
    )
