"""Where a run's release stands at this moment: which step, which share of the traffic, what is measured.

Read by every door from the last line the stages told of it. A pure function of the ledger.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from phasegate.infra.ledger import STOPPED, Ledger, Run
from phasegate.infra.ledger.events import EventKind


class RolloutProgress(BaseModel):
    """The last that was told.

    Attributes:
        at: When.
        stage: By which stage.
        text: In a line, for people.
        step: Number of the step that runs, from 1; 0 if none does.
        steps: Of how many.
        doing: What is done, in a few words.
        weight: The share of the traffic, as `Weight`; None before it takes any.
        until: When what is done is over, if that is known.
        measured: Metric to how often it was `taken`, and `of` how many in all.
        watched: What is measured beside, since when: metric to how often each outcome came.
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
    """Where a release stands; None where none is on its way."""
    if run.status in STOPPED:
        return None
    last: RolloutProgress | None = None
    for event in ledger.events(run.id, kinds=(EventKind.STAGE_STEP, EventKind.EFFECT_UNDONE, EventKind.RUN_REWOUND)):
        if event.kind != EventKind.STAGE_STEP:
            last = None
        elif facts := event.payload.get("progress"):
            last = RolloutProgress(at=event.at, stage=event.payload["stage"], **facts)
    return last
