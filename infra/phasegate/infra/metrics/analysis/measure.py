"""Measures every metric of a policy side by side until each has a verdict, or one says the release is bad.

Called by the monitoring stage. It writes nothing: `on_measurement` is where a caller records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from phasegate.infra.errors import TemporaryError
from phasegate.infra.metrics.analysis.clock import Clock
from phasegate.infra.metrics.analysis.comparison import Comparing
from phasegate.infra.metrics.analysis.verdict import Judgement, judge, outcome_of, overall, with_comparison
from phasegate.infra.metrics.report import Comparison, HealthReport, Measurement, MetricReport, Outcome, measurement
from phasegate.infra.metrics.sources.port import BaselineRelease, MetricSource, Reading
from phasegate.infra.policy.conditions import Condition, parse_condition
from phasegate.infra.policy.monitor import MetricPolicy


def nothing_beside(_metric: MetricPolicy) -> BaselineRelease:
    """Baseline for a release that serves alone: there is none."""
    return BaselineRelease(missing="no other release serves at the same time")


async def measure(
    metrics: Sequence[MetricPolicy],
    source_for: Callable[[MetricPolicy], MetricSource],
    clock: Clock,
    on_measurement: Callable[[str, Measurement], None],
    baseline_for: Callable[[MetricPolicy], BaselineRelease] = nothing_beside,
) -> HealthReport:
    """Measure until every metric has a verdict; stop all at the first that is failed or error.

    Args:
        metrics: What to measure, and when it is good enough.
        source_for: Gives the source of one metric; asked once per metric.
        clock: Tells the time and waits between measurements.
        on_measurement: Called with the metric's name right after each measurement.
        baseline_for: Gives what a metric with `compare` is compared with; asked once per metric.

    Returns:
        A report over all metrics; one that was cut short is inconclusive, never passed.

    Effects:
        Whatever the sources send. Writes nothing; a replay measures again.
    """
    series = [_Series(metric, source_for(metric), baseline_for(metric), clock, on_measurement) for metric in metrics]
    tasks = {asyncio.create_task(metric_series.run()) for metric_series in series}
    try:
        pending = tasks
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if any(task.result().verdict in {"failed", "error"} for task in done):
                break
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    reports = tuple(metric_series.report() for metric_series in series)
    return HealthReport(verdict=overall(report.verdict for report in reports), metrics=reports)


class _Series:
    """Series of one metric's measurements, as far as it has come."""

    def __init__(
        self,
        metric: MetricPolicy,
        source: MetricSource,
        baseline: BaselineRelease,
        clock: Clock,
        on_measurement: Callable[[str, Measurement], None],
    ) -> None:
        self._metric = metric
        self._source = source
        self._baseline = baseline
        self._clock = clock
        self._on_measurement = on_measurement
        self._success = _condition(metric, metric.success_condition)
        self._failure = _condition(metric, metric.failure_condition)
        self._measurements: list[Measurement] = []
        self._comparing = Comparing(metric, baseline.release_id, baseline.missing) if metric.compare else None
        self._comparison: Comparison | None = None

    async def run(self) -> Judgement:
        """Measure at every interval until the limits or the count decide."""
        await self._clock.sleep(self._metric.initial_delay)
        while True:
            due = self._clock.now() + self._metric.interval
            latest = await self._measure_once()
            self._measurements.append(latest)
            self._on_measurement(self._metric.name, latest)
            if judgement := self._judge(ended=False):
                return judgement
            await self._clock.sleep(due - self._clock.now())

    def report(self) -> MetricReport:
        """Report on the measurements made so far, as final."""
        judgement = self._judge(ended=True) or Judgement("inconclusive", "nothing was measured")
        return MetricReport(
            name=self._metric.name,
            verdict=judgement.verdict,
            reason=judgement.reason,
            measurements=tuple(self._measurements),
            success_condition=self._metric.success_condition,
            failure_condition=self._metric.failure_condition,
            comparison=self._comparison,
        )

    def _judge(self, *, ended: bool) -> Judgement | None:
        outcomes: list[Outcome] = [measurement.outcome for measurement in self._measurements]
        if self._comparison is not None and (
            judgement := with_comparison(judge(self._metric, outcomes), self._comparison)
        ):
            return judgement
        return judge(self._metric, outcomes, ended=ended)

    async def _measure_once(self) -> Measurement:
        at = self._clock.now()
        reading, beside = await self._read()
        if isinstance(reading, TemporaryError):
            return measurement(at, {}, "error", reading.message)
        outcome, why = self._outcome(reading)
        if self._comparing is None:
            return measurement(at, reading.values, outcome, why)
        if isinstance(beside, Reading):
            self._comparing.add(reading, beside)
        counted = 1 + sum(earlier.outcome != "error" for earlier in self._measurements)
        # in a thread: the first test loads scipy, and the engine has others to attend to
        self._comparison = await asyncio.to_thread(self._comparing.look, counted)
        problem = beside.message if isinstance(beside, TemporaryError) else ""
        message = "; ".join(filter(None, (why, self._comparison.reason, problem and f"the baseline: {problem}")))
        values = beside.values if isinstance(beside, Reading) else None
        return measurement(at, reading.values, outcome, message, values)

    def _outcome(self, reading: Reading) -> tuple[Outcome, str]:
        if self._metric.compare and not self._metric.conditions:
            return "sampled", ""
        return outcome_of(self._success, self._failure, reading.values)

    async def _read(self) -> tuple[Reading | TemporaryError, Reading | TemporaryError | None]:
        """Read the metric and, at the same time, its baseline, or `None` if it is compared with none."""
        if self._baseline.source is None:
            return await _tried(self._source), None
        beside = asyncio.create_task(_tried(self._baseline.source))
        try:
            return await _tried(self._source), await beside
        finally:
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)


async def _tried(source: MetricSource) -> Reading | TemporaryError:
    try:
        return await source.read()
    except TemporaryError as error:
        return error


def _condition(metric: MetricPolicy, text: str) -> Condition | None:
    return parse_condition(text, metric.value_names) if text else None
