"""What was measured after a release, and what code made of it.

Written by `measure`, stored by the monitoring stage, read by the `promotion` gate and by people.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict

from phasegate.infra.artifacts import Artifact

Outcome = Literal["success", "failure", "inconclusive", "error"]
"""What one measurement says."""
Verdict = Literal["passed", "failed", "inconclusive", "error"]
"""What all measurements of a metric, or all metrics, say together."""


class Measurement(BaseModel):
    """One reading of a metric.

    Attributes:
        at: When it began, in UTC.
        values: Value name to number; None where there was nothing to count (NaN has no JSON).
        outcome: What the metric's conditions make of the values; `error` when nothing could be read.
        message: Why the outcome is what it is, in a few words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: AwareDatetime
    values: dict[str, float | None]
    outcome: Outcome
    message: str = ""


class MetricReport(BaseModel):
    """One metric's measurements and its verdict."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    verdict: Verdict
    reason: str
    measurements: tuple[Measurement, ...]


class HealthReport(Artifact):
    """How a release did: the worst verdict of its metrics decides."""

    kind: ClassVar[str] = "health-report"

    verdict: Verdict
    metrics: tuple[MetricReport, ...]

    def markdown(self) -> str:
        """The verdict, then one table per metric."""
        parts = [f"# Health: {self.verdict}", ""]
        for metric in self.metrics:
            names = list(dict.fromkeys(name for measurement in metric.measurements for name in measurement.values))
            parts += [f"## {metric.name}: {metric.verdict}", "", metric.reason, ""]
            parts.append(f"| at | outcome | {' | '.join([*names, 'why'])} |")
            parts.append("| --- " * (len(names) + 3) + "|")
            for measurement in metric.measurements:
                numbers = [_number(measurement.values.get(name)) for name in names]
                moment = f"{measurement.at:%H:%M:%S}"
                parts.append(f"| {moment} | {measurement.outcome} | {' | '.join([*numbers, measurement.message])} |")
            parts.append("")
        return "\n".join(parts)


class MetricSource(Protocol):
    """Where one metric's values come from: a probe here, Prometheus or a log query elsewhere."""

    async def read(self) -> Mapping[str, float]:
        """Measure once.

        Returns:
            Value name to number; NaN where there was nothing to count.

        Raises:
            TemporaryError: Nothing could be read this time; the measurement's outcome is `error`.
        """
        ...


def stored_values(values: Mapping[str, float]) -> dict[str, float | None]:
    """The values as JSON can hold them: whatever is not finite becomes None."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def measurement(at: datetime, values: Mapping[str, float], outcome: Outcome, message: str) -> Measurement:
    """Record one reading."""
    return Measurement(at=at, values=stored_values(values), outcome=outcome, message=message)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
