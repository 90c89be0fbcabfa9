"""Progress of a rollout, reported to the people who watch: the step, the share of traffic, the measurements.

Kept by the stages that run steps, measure and wait. Every line is an event that carries all of it as data, so that
`show` and `status` need only the latest. It decides nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.views.progress import progress_of
from phasegate.infra.deploy.target import Weight
from phasegate.infra.metrics.analysis.watch import OnMeasurement
from phasegate.infra.metrics.report import Measurement
from phasegate.infra.policy.monitor import MetricPolicy

BACKGROUND, GATE, CUT_OVER = "in the background", "since the gate opened", "since the cut-over"
"""Since when something is measured without end."""
_BETWEEN_TELLING_SECONDS = 10.0
"""Of what is measured without end a line is told so often, and whenever an outcome is another than before."""


@dataclass
class ProgressReporter:
    """Reports the progress of a rollout.

    Attributes:
        run: The run.
        stage: The stage that reports.
        steps: The number of steps; 0 if policy has none.
        step: The current step, from 1.
        doing: The current activity, in a few words.
        until: The time at which it is over, if that is known.
        weight: The share of the traffic.
    """

    run: RunContext
    stage: str
    steps: int = 0
    step: int = 0
    doing: str = ""
    until: datetime | None = None
    weight: Weight | None = None
    _reached: int = field(init=False)
    _measured: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    _watched: dict[str, dict[str, Counter[str]]] = field(default_factory=dict[str, dict[str, Counter[str]]])

    def __post_init__(self) -> None:
        """Find the step that an earlier pass reached: earlier steps are not reported again."""
        before = progress_of(self.run.ledger, self.run.record)
        self._reached = before.step if before is not None and before.stage == self.stage else 0

    def begin(self, doing: str, *, step: int = 0, until: datetime | None = None) -> None:
        """Report a new activity."""
        self.doing, self.step, self.until, self._measured = doing, step or self.step, until, {}
        self._watched = {since: seen for since, seen in self._watched.items() if since == BACKGROUND}
        self.say()

    def say(self, detail: str = "") -> None:
        """Report the progress, and the latest observation."""
        if self.step < self._reached:
            return
        text = f"{self.words}{f': {detail}' if detail else ''}"
        self.run.report_step(self.stage, text, progress=self._facts())

    @property
    def words(self) -> str:
        """The progress in a line."""
        parts: list[str] = []
        if self.weight is not None:
            wanted = "" if self.weight.actual == self.weight.wanted else f" ({self.weight.wanted} wanted)"
            parts.append(f"{self.weight.actual:g} % of the traffic{wanted}")
        counts = ", ".join(f"{name} {taken}/{of}" for name, (taken, of) in self._measured.items())
        parts += [" ".join(part for part in (self.doing, counts) if part)]
        if self.until is not None:
            parts[-1] += f" until {self.until.astimezone():%H:%M:%S}"
        for since, seen in self._watched.items():
            counts = ", ".join(f"{name} {_counted(outcomes)}" for name, outcomes in seen.items())
            parts += [f"{since} {counts}"] if counts else []
        where = f"step {self.step} of {self.steps}: " if self.steps and self.step else ""
        return where + ", ".join(part for part in parts if part)

    def per_measurement(self, metrics: Sequence[MetricPolicy]) -> OnMeasurement:
        """Report each measurement of an analysis that ends by itself."""
        self._measured = {metric.name: (0, metric.count) for metric in metrics}

        def report(name: str, measurement: Measurement) -> None:
            so_far, of = self._measured[name]
            self._measured[name] = (so_far + 1, of)
            self.say(_said(name, measurement))

        return report

    def throttled(self, since: str) -> OnMeasurement:
        """Report an analysis without an end, as often as a person wants to read."""
        seen = self._watched[since] = {}
        last: dict[str, tuple[float, str]] = {}

        def report(name: str, measurement: Measurement) -> None:
            seen.setdefault(name, Counter())[measurement.outcome] += 1
            now, (before, outcome) = time.monotonic(), last.get(name, (0.0, ""))
            if outcome != measurement.outcome or now - before > _BETWEEN_TELLING_SECONDS:
                last[name] = now, measurement.outcome
                self.say(_said(name, measurement))

        return report

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"text": self.words, "step": self.step, "steps": self.steps, "doing": self.doing}
        facts["weight"] = self.weight.model_dump(mode="json") if self.weight else None
        facts["until"] = self.until.isoformat() if self.until else None
        facts["measured"] = {name: {"taken": taken, "of": of} for name, (taken, of) in self._measured.items()}
        facts["watched"] = {
            since: {name: dict(outcomes) for name, outcomes in seen.items()} for since, seen in self._watched.items()
        }
        return facts


def _counted(outcomes: Counter[str]) -> str:
    """Number of measurements, with the counts of those that were no success."""
    others = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items() if outcome != "success")
    return f"{outcomes.total()}{f' ({others})' if others else ''}"


def _said(name: str, measurement: Measurement) -> str:
    return f"{name}: {measurement.outcome}{f' ({measurement.message})' if measurement.message else ''}"
