"""Markdown of others for the terminal: nothing that is written in it is left out, and nothing steers the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment
from rich.style import Style

from phasegate.flows.cli.sanitize import sanitize
from phasegate.infra.inert_markdown import inert_markdown


@dataclass(frozen=True)
class PlainMarkdown:
    """Markdown from a ticket, a model or a tool, rendered as text: nothing that is written in it is left out."""

    source: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render, then clean each segment: an entity such as `&#x202e;` is only a character by now."""
        for segment in console.render(Markdown(inert_markdown(self.source), hyperlinks=False), options):
            style = segment.style.update_link(None) if segment.style else Style.null()
            yield Segment(sanitize(segment.text), style)
