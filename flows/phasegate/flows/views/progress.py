"""Progress of a run's release: the step, the share of the traffic, the measurements.

Every door reads it from the last event that the stages recorded of it. A pure function of the ledger.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from phasegate.infra.ledger import STOPPED, Ledger, Run
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.events.catalogue import payload_of


class RolloutProgress(BaseModel):
    """Last recorded progress of a rollout.

    Attributes:
        at: The time.
        stage: The stage that recorded it.
        text: A line for people.
        step: Number of the step that runs, from 1; 0 if none does.
        steps: The number of steps.
        doing: The current activity, in a few words.
        weight: The share of the traffic, as `Weight`; None before it takes any.
        until: The time at which the activity is over, if that is known.
        measured: Metric to how often it was `taken`, and `of` how many in all.
        watched: Background analyses by their start: metric to the count of each outcome.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: datetime
    stage: str
    text: str
    step: int = 0
    steps: int = 0
    doing: str = ""
    weight: dict[str, Any] | None = None
    until: datetime | None = None
    measured: dict[str, dict[str, int]] = {}
    watched: dict[str, dict[str, dict[str, int]]] = {}


def progress_of(ledger: Ledger, run: Run) -> RolloutProgress | None:
    """Progress of a run's release, or None if no release is on its way."""
    if run.status in STOPPED:
        return None
    last: RolloutProgress | None = None
    for event in ledger.events(run.id, kinds=(EventKind.STAGE_STEP, EventKind.EFFECT_UNDONE, EventKind.RUN_REWOUND)):
        if event.kind != EventKind.STAGE_STEP:
            last = None
            continue
        step = payload_of(event, payloads.StageStep)
        if details := step.get("progress"):
            last = RolloutProgress(at=event.at, stage=step["stage"], **details)
    return last
