"""Measures a release for as long as it is watched: series after series, until one says that it is bad.

Called by the stages: beside the steps, while a person thinks, and after the cut-over. Each series of a metric is judged
by the metric's own rules, so that a release that holds can be watched for days. It writes nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from phasegate.infra.metrics.analysis.clock import Clock
from phasegate.infra.metrics.analysis.verdict import overall
from phasegate.infra.metrics.report import HealthReport, Measurement, MetricReport, Verdict
from phasegate.infra.policy.monitor import MetricPolicy

OnMeasurement = Callable[[str, Measurement], None]
MeasureOne = Callable[[MetricPolicy, OnMeasurement], Awaitable[HealthReport]]
"""Measures one metric until it has a verdict."""
BROKEN: frozenset[Verdict] = frozenset({"failed", "error"})
"""Verdicts that end a watch, and for which a release is rolled back."""
_KEPT = 500
"""Measurements of a metric that a report shows, the last ones."""


class Watch:
    """Watch over one release."""

    def __init__(
        self,
        metrics: Sequence[MetricPolicy],
        measure_one: MeasureOne,
        clock: Clock,
        on_measurement: OnMeasurement,
        *,
        until: datetime | None = None,
    ) -> None:
        """Prepare to measure.

        Args:
            metrics: What to measure, each at its own pace.
            measure_one: Measures one metric until it has a verdict.
            clock: Tells the time and waits between series.
            on_measurement: Called with the metric's name right after each measurement.
            until: From then on no series is begun; if `None`, only `end` ends the watch.
        """
        self._series = [_Series(metric, measure_one, clock, on_measurement, until) for metric in metrics]
        self._ending = asyncio.Event()

    def end(self) -> None:
        """End the watch: `run` returns with what was measured by now."""
        self._ending.set()

    async def run(self) -> HealthReport:
        """Measure until a series breaks its limits, until `until`, or until `end` is called.

        Returns:
            Per metric its latest series' verdict and its last measurements. A metric none of whose series passed is
            inconclusive, and so is one that was cut off in its first.
        """
        tasks = [asyncio.create_task(metric_series.run()) for metric_series in self._series]
        ending = asyncio.create_task(self._ending.wait())
        pending = set(tasks)
        try:
            while pending and not ending.done():
                done, _ = await asyncio.wait({*pending, ending}, return_when=asyncio.FIRST_COMPLETED)
                if any(task in done and task.result() for task in tasks):
                    break
                pending -= done
        finally:
            for task in (*tasks, ending):
                task.cancel()
            await asyncio.gather(*tasks, ending, return_exceptions=True)
        reports = tuple(metric_series.report() for metric_series in self._series)
        return HealthReport(verdict=overall(report.verdict for report in reports), metrics=reports)


class _Series:
    """Series after series of one metric's measurements."""

    def __init__(
        self,
        metric: MetricPolicy,
        measure_one: MeasureOne,
        clock: Clock,
        on_measurement: OnMeasurement,
        until: datetime | None,
    ) -> None:
        self._metric, self._measure_one, self._clock, self._until = metric, measure_one, clock, until
        self._on_measurement = on_measurement
        self._measurements = deque[Measurement](maxlen=_KEPT)
        self._latest: MetricReport | None = None
        self._passed = self._ended = 0

    async def run(self) -> bool:
        """Measure series after series; whether one broke its limits."""
        metric = self._metric
        while True:
            report = await self._measure_one(metric, self._see)
            self._latest = report.metrics[0]
            self._ended += 1
            self._passed += self._latest.verdict == "passed"
            if self._latest.verdict in BROKEN:
                return True
            if self._until is not None and self._clock.now() >= self._until:
                return False
            metric = metric.model_copy(update={"initial_delay": timedelta(0)})
            await self._clock.sleep(metric.interval)

    def _see(self, name: str, measurement: Measurement) -> None:
        self._measurements.append(measurement)
        self._on_measurement(name, measurement)

    def report(self) -> MetricReport:
        """Report on the series so far, as final."""
        measurements = tuple(self._measurements)
        if self._latest is None:
            reason = (
                f"the watch ended after {len(measurements)} of {self._metric.count}"
                if measurements
                else "nothing was measured"
            )
            return MetricReport(
                name=self._metric.name, verdict="inconclusive", reason=reason, measurements=measurements
            )
        verdict: Verdict = "passed" if self._passed else "inconclusive"
        if self._latest.verdict in BROKEN:
            verdict = self._latest.verdict
        reason = f"{self._latest.reason}; of {self._ended} series {self._passed} passed"
        return self._latest.model_copy(update={"verdict": verdict, "reason": reason, "measurements": measurements})
