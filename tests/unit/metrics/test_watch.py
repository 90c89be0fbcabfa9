"""Watching for as long as it takes, with time that does not pass."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from phasegate.infra.metrics.analysis.clock import SimulatedClock
from phasegate.infra.metrics.analysis.watch import OnMeasurement, Watch
from phasegate.infra.metrics.report import HealthReport, Measurement, MetricReport, Verdict
from phasegate.infra.policy.monitor import MetricPolicy

START = datetime(2026, 1, 1, tzinfo=UTC)


def metric(name: str, seconds: float) -> MetricPolicy:
    return MetricPolicy(name=name, interval=timedelta(seconds=seconds), failure_condition="error_rate > 0.05")


class World:
    """Series that end as they were told to, each after one interval; then always the last way."""

    def __init__(self, **verdicts: list[Verdict]) -> None:
        self.clock = SimulatedClock(START)
        self.ended: list[tuple[str, float]] = []
        self._verdicts = verdicts

    async def measure_one(self, metric: MetricPolicy, seen: OnMeasurement) -> HealthReport:
        await self.clock.sleep(metric.interval)
        told = self._verdicts[metric.name]
        verdict = told.pop(0) if len(told) > 1 else told[0]
        taken = Measurement(at=self.clock.now(), values={}, outcome="failure" if verdict == "failed" else "success")
        seen(metric.name, taken)
        self.ended.append((metric.name, (self.clock.now() - START).total_seconds()))
        made = MetricReport(name=metric.name, verdict=verdict, reason=f"it {verdict}", measurements=(taken,))
        return HealthReport(verdict=verdict, metrics=(made,))

    def watch(self, *metrics: MetricPolicy, seconds: float | None = None) -> Watch:
        until = None if seconds is None else START + timedelta(seconds=seconds)
        return Watch(metrics, self.measure_one, self.clock, lambda _name, _taken: None, until=until)


async def test_the_first_bad_series_ends_it_and_what_was_measured_before_is_kept() -> None:
    """Mutation tried: `_Series.run` never says that its limits are broken; the watch then never ends."""
    world = World(errors=["passed", "inconclusive", "failed"], latency=["passed"])
    report = await world.watch(metric("errors", 1), metric("latency", 100)).run()

    errors, latency = report.metrics
    assert (report.verdict, errors.verdict, latency.verdict) == ("failed", "failed", "inconclusive")
    assert errors.reason == "it failed; of 3 series 1 passed"
    assert [taken.outcome for taken in errors.measurements] == ["success", "success", "failure"]
    assert latency.reason == "nothing was measured"


async def test_each_metric_is_measured_at_its_own_pace_up_to_a_moment() -> None:
    world = World(errors=["passed"], latency=["passed"])
    report = await world.watch(metric("errors", 2), metric("latency", 5), seconds=9).run()

    assert report.verdict == "passed"
    assert [at for name, at in world.ended if name == "errors"] == [2, 6, 10]
    assert [at for name, at in world.ended if name == "latency"] == [5, 15]


async def test_a_watch_whose_moment_has_passed_still_measures_once() -> None:
    """Mutation tried: the moment is checked before the first series; nothing is measured then, and nothing passes."""
    world = World(errors=["passed"])
    assert (await world.watch(metric("errors", 1), seconds=-60).run()).verdict == "passed"


async def test_a_series_that_could_not_tell_does_not_undo_one_that_passed() -> None:
    world = World(errors=["passed", "inconclusive"], silent=["inconclusive"])
    report = await world.watch(metric("errors", 1), metric("silent", 1), seconds=5).run()
    assert [one.verdict for one in report.metrics] == ["passed", "inconclusive"]
    assert report.verdict == "inconclusive"


async def test_it_ends_when_it_is_told_to() -> None:
    world = World(errors=["passed"])
    watch = world.watch(metric("errors", 1))
    running = asyncio.create_task(watch.run())
    while len(world.ended) < 3:  # noqa: ASYNC110 -- the clock is not real
        await asyncio.sleep(0)
    watch.end()
    report = await running
    assert report.verdict == "passed"
    assert len(report.metrics[0].measurements) >= 3
