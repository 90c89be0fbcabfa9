"""Intent to make an effect: the saga records it, and a run's source answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Intent:
    """An effect about to be made.

    Attributes:
        kind: The kind of effect, which chooses the performer.
        name: Names it within the run; with the run's id, the idempotency key.
        facts: JSON-able: all the performer needs.
        compensation: A description for people of how it is undone.
    """

    kind: str
    name: str
    facts: Mapping[str, Any]
    compensation: str
