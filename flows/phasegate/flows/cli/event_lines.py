"""Events as JSON, for `logs --json`."""

from __future__ import annotations

import json
from typing import Any

import click

from phasegate.flows.cli.story import told
from phasegate.infra.ledger import Event, Run


def of_stage(events: list[Event], stage: str) -> list[Event]:
    """The events of one stage; of all when `stage` is empty."""
    return [event for event in events if stage in {"", told(event).stage}]


def event_document(event: Event) -> dict[str, Any]:
    """One event as JSON, with the line people read."""
    return {**event.model_dump(mode="json"), "line": told(event).text}


class JsonLines:
    """One JSON document per line and event, as they come."""

    def __init__(self, stage: str) -> None:
        """Show one stage's events; all when empty."""
        self._stage = stage

    def see(self, run: Run, news: list[Event]) -> None:
        """Print what is new."""
        for event in of_stage(news, self._stage):
            click.echo(json.dumps(event_document(event)))
