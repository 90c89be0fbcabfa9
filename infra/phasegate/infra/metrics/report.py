"""Report on a release's health: its measurements, and the verdicts that code draws from them.

Written by `measure`, stored by the monitoring stage, read by the `promotion` gate and by people.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from phasegate.infra.artifacts import Artifact

Outcome = Literal["success", "failure", "inconclusive", "error", "sampled"]
"""Outcome of one measurement; `sampled`: none by itself, its figures are compared with the baseline's."""
Verdict = Literal["passed", "failed", "inconclusive", "error"]
"""Verdict on all measurements of a metric, or on all metrics."""
Conclusion = Literal["worse", "no worse", "undecided"]
"""Conclusion from the samples of two releases; `undecided` if there are too few, or more are to come."""


class Measurement(BaseModel):
    """A reading of a metric.

    Attributes:
        at: When it began, in UTC.
        values: Value name to number; None where there was nothing to count (NaN has no JSON).
        outcome: What the metric's conditions make of the values; `error` when nothing could be read.
        message: Why the outcome is what it is, in a few words.
        baseline: The values of the release that serves, read at the same time; empty where none was compared with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: AwareDatetime
    values: dict[str, float | None]
    outcome: Outcome
    message: str = ""
    baseline: dict[str, float | None] = {}


class Comparison(BaseModel):
    """A candidate beside the release that serves.

    Attributes:
        baseline: The release it is compared with.
        value: What is compared.
        test: The statistical test.
        candidate_sample: How many single figures of the candidate there are.
        baseline_sample: How many of the baseline.
        candidate_value: What stands for them: the share of errors, or their median; None of none.
        baseline_value: Likewise.
        p_value: What the test gave; None where it was not made.
        level: Below which that would have been worse.
        conclusion: What follows.
        reason: Why, in a few words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    baseline: str
    value: str
    test: str
    candidate_sample: int
    baseline_sample: int
    candidate_value: float | None
    baseline_value: float | None
    p_value: float | None = None
    level: float | None = None
    conclusion: Conclusion
    reason: str

    def sentence(self) -> str:
        """All of it in one line."""
        ours, theirs = _number(self.candidate_value), _number(self.baseline_value)
        beside = f"release {self.baseline}" if self.baseline else "no release"
        return (
            f"{self.value} {ours} ({self.candidate_sample} sampled) beside {theirs} ({self.baseline_sample}) of "
            f"{beside}: {self.conclusion}; {self.reason}"
        )


class MetricReport(BaseModel):
    """Measurements of a metric and its verdict, with the conditions they were held against."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    verdict: Verdict
    reason: str
    measurements: tuple[Measurement, ...]
    success_condition: str = ""
    failure_condition: str = ""
    comparison: Comparison | None = None


class HealthReport(Artifact):
    """Report on a release: the worst verdict of its metrics decides."""

    kind: ClassVar[str] = "health-report"

    verdict: Verdict
    metrics: tuple[MetricReport, ...]

    @property
    def failed_reasons(self) -> str:
        """Reasons of the metrics that did not pass."""
        return "; ".join(_reason(metric) for metric in self.metrics if metric.verdict != "passed")

    def markdown(self) -> str:
        """The verdict, then one table per metric."""
        parts = [f"# Health: {self.verdict}", ""]
        for metric in self.metrics:
            names = list(dict.fromkeys(name for measurement in metric.measurements for name in measurement.values))
            parts += [f"## {metric.name}: {metric.verdict}", "", metric.reason, ""]
            if metric.comparison is not None:
                parts += [f"Compared: {metric.comparison.sentence()}", ""]
            parts.append(f"| at | outcome | {' | '.join([*names, 'why'])} |")
            parts.append("| --- " * (len(names) + 3) + "|")
            for measurement in metric.measurements:
                numbers = [_number(measurement.values.get(name)) for name in names]
                moment = f"{measurement.at:%H:%M:%S}"
                parts.append(f"| {moment} | {measurement.outcome} | {' | '.join([*numbers, measurement.message])} |")
            parts.append("")
        return "\n".join(parts)


def _reason(metric: MetricReport) -> str:
    """Reason of a metric's verdict, with the last measurement that did not succeed."""
    bad = [measurement.message for measurement in metric.measurements if measurement.outcome != "success"]
    return f"{metric.name}: {metric.reason}{f'; last: {bad[-1]}' if bad and bad[-1] else ''}"


def stored_values(values: Mapping[str, float]) -> dict[str, float | None]:
    """The values as JSON can hold them: whatever is not finite becomes None."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def measurement(
    at: datetime,
    values: Mapping[str, float],
    outcome: Outcome,
    message: str,
    baseline: Mapping[str, float] | None = None,
) -> Measurement:
    """Record one reading, and the baseline's reading at the same time."""
    beside = stored_values(baseline or {})
    return Measurement(at=at, values=stored_values(values), outcome=outcome, message=message, baseline=beside)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
