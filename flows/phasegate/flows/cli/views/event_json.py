"""Events as JSON, for `logs --json`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from phasegate.flows.cli.views.event_text import describe
from phasegate.infra.ledger import Event, Ledger, Run


def event_documents(ledger: Ledger, events: list[Event], stage: str) -> Iterator[dict[str, Any]]:
    """Events as JSON, each with its line for people; only those of one stage, unless `stage` is empty."""
    for event in events:
        line = describe(event, ledger)
        if stage in {"", line.stage}:
            yield {**event.model_dump(mode="json"), "line": line.text}


class JsonLines:
    """Prints each event as a JSON document on a line."""

    def __init__(self, ledger: Ledger, stage: str) -> None:
        """Show one stage's events, or all if `stage` is empty."""
        self._ledger = ledger
        self._stage = stage

    def see(self, run: Run, news: list[Event]) -> None:
        """Print the new events."""
        for document in event_documents(self._ledger, news, self._stage):
            click.echo(json.dumps(document))
