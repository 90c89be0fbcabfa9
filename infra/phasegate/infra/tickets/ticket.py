"""Ticket: a person's request, wherever they wrote it. Made by the adapters, read by the prd agent and by people."""

from __future__ import annotations

from typing import ClassVar, Literal

from phasegate.infra.artifacts import Artifact

MAX_BYTES = 1024 * 1024
"""Largest size of a ticket; more is a mistake in what was named, not a ticket."""


class Ticket(Artifact):
    """A request for a change.

    Attributes:
        title: One line.
        body: Markdown, as written; may be empty where the title says it all.
        key: How people call it: `FILE-1a2b3c4d`, `owner/repo#12`, or what its front matter says.
        url: Where it can be read; empty when it has no address.
        author: Who wrote it, as its source says; empty when it does not. Never an authenticated identity.
        source: Which adapter read it.
        native_ref: What else the source said, as JSON; opaque to everybody but that adapter.
    """

    kind: ClassVar[str] = "ticket"

    title: str
    body: str
    key: str
    url: str = ""
    labels: tuple[str, ...] = ()
    author: str = ""
    source: Literal["file", "stdin", "github"]
    native_ref: str = "{}"

    def markdown(self) -> str:
        """The ticket as a page: key and title, where it is from, the body."""
        details = [
            detail for detail in (self.url, self.author and f"by {self.author}", ", ".join(self.labels)) if detail
        ]
        return f"# {self.key}: {self.title}\n\n{' · '.join(details)}\n\n{self.body}\n"
