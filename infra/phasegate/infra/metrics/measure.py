"""Measures every metric of a policy side by side until each has a verdict, or one says the release is bad.

Called by the monitoring stage. It writes nothing: `on_measurement` is where a caller records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from phasegate.infra.errors import TemporaryError
from phasegate.infra.metrics.clock import Clock
from phasegate.infra.metrics.conditions import Condition, parse_condition
from phasegate.infra.metrics.report import HealthReport, Measurement, MetricReport, MetricSource, measurement
from phasegate.infra.metrics.verdict import Judgement, judge, outcome_of, overall
from phasegate.infra.policy.monitor import MetricPolicy


async def measure(
    metrics: Sequence[MetricPolicy],
    source_for: Callable[[MetricPolicy], MetricSource],
    clock: Clock,
    on_measurement: Callable[[str, Measurement], None],
) -> HealthReport:
    """Measure until every metric has a verdict; stop all at the first that is failed or error.

    Args:
        metrics: What to measure, and when it is good enough.
        source_for: Gives the source of one metric; asked once per metric.
        clock: Tells the time and waits between measurements.
        on_measurement: Called with the metric's name right after each measurement.

    Returns:
        A report over all metrics; one that was cut short is inconclusive, never passed.

    Effects:
        Whatever the sources send. Writes nothing; a replay measures again.
    """
    series = [_Series(metric, source_for(metric), clock, on_measurement) for metric in metrics]
    tasks = {asyncio.create_task(one.run()) for one in series}
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
    reports = tuple(one.report() for one in series)
    return HealthReport(verdict=overall(report.verdict for report in reports), metrics=reports)


class _Series:
    """One metric's measurements, as far as they have come."""

    def __init__(
        self,
        metric: MetricPolicy,
        source: MetricSource,
        clock: Clock,
        on_measurement: Callable[[str, Measurement], None],
    ) -> None:
        self._metric = metric
        self._source = source
        self._clock = clock
        self._on_measurement = on_measurement
        self._success = _condition(metric, metric.success_condition)
        self._failure = _condition(metric, metric.failure_condition)
        self._measurements: list[Measurement] = []

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
        """What there is, as final."""
        judgement = self._judge(ended=True) or Judgement("inconclusive", "nothing was measured")
        return MetricReport(
            name=self._metric.name,
            verdict=judgement.verdict,
            reason=judgement.reason,
            measurements=tuple(self._measurements),
        )

    def _judge(self, *, ended: bool) -> Judgement | None:
        return judge(self._metric, [taken.outcome for taken in self._measurements], ended=ended)

    async def _measure_once(self) -> Measurement:
        at = self._clock.now()
        try:
            values = await self._source.read()
        except TemporaryError as error:
            return measurement(at, {}, "error", error.message)
        outcome, why = outcome_of(self._success, self._failure, values)
        return measurement(at, values, outcome, why)


def _condition(metric: MetricPolicy, text: str) -> Condition | None:
    return parse_condition(text, metric.value_names) if text else None
