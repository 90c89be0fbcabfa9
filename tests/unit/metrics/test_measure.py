"""Measuring over time, with time that does not pass."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from phasegate.infra.errors import TemporaryError
from phasegate.infra.metrics.analysis.clock import RealClock, SimulatedClock
from phasegate.infra.metrics.analysis.measure import measure
from phasegate.infra.metrics.report import HealthReport, Measurement, MetricReport
from phasegate.infra.metrics.sources.port import BaselineRelease, Reading
from phasegate.infra.policy.monitor import MetricPolicy

START = datetime(2026, 1, 1, tzinfo=UTC)


class Readings:
    """A source that gives what it was told, then the last of it again; an error is raised."""

    def __init__(self, *readings: float | Exception, clock: SimulatedClock | None = None, takes: float = 0) -> None:
        self._readings = list(readings)
        self._clock = clock
        self._takes = timedelta(seconds=takes)

    async def read(self) -> Reading:
        if self._clock:
            await self._clock.sleep(self._takes)
        reading = self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]
        if isinstance(reading, Exception):
            raise reading
        return Reading({"error_rate": reading})


def metric(name: str = "errors", *, seconds: float = 1, delay: float = 0, **limits: Any) -> MetricPolicy:
    return MetricPolicy(
        name=name,
        failure_condition="error_rate > 0.05",
        interval=timedelta(seconds=seconds),
        initial_delay=timedelta(seconds=delay),
        **limits,
    )


class MeasureHarness:
    """A clock, sources by metric name, and what was measured when."""

    def __init__(self) -> None:
        self.clock = SimulatedClock(START)
        self.seen: list[tuple[str, float, str]] = []

    async def run(self, metrics: Sequence[MetricPolicy], **sources: Readings) -> HealthReport:
        return await measure(metrics, lambda one: sources[one.name], self.clock, self._note)

    def _note(self, name: str, taken: Measurement) -> None:
        self.seen.append((name, (taken.at - START).total_seconds(), taken.outcome))


async def test_a_healthy_release_is_measured_to_the_count():
    scene = MeasureHarness()
    report = await scene.run([metric(count=3, seconds=2, delay=10)], errors=Readings(0.0))
    assert report.verdict == "passed"
    assert scene.seen == [("errors", 10, "success"), ("errors", 12, "success"), ("errors", 14, "success")]


async def test_an_interval_runs_from_start_to_start():
    scene = MeasureHarness()
    await scene.run([metric(count=3, seconds=2)], errors=Readings(0.0, clock=scene.clock, takes=1.5))
    assert [at for _, at, _ in scene.seen] == [0, 2, 4]


async def test_a_measurement_longer_than_the_interval_is_followed_at_once():
    scene = MeasureHarness()
    await scene.run([metric(count=3, seconds=2)], errors=Readings(0.0, clock=scene.clock, takes=5))
    assert [at for _, at, _ in scene.seen] == [0, 5, 10]


async def test_metrics_are_measured_side_by_side():
    scene = MeasureHarness()
    report = await scene.run(
        [metric("a", count=2, seconds=10), metric("b", count=3, seconds=4)], a=Readings(0.0), b=Readings(0.0)
    )
    assert [(name, at) for name, at, _ in scene.seen] == [("a", 0), ("b", 0), ("b", 4), ("b", 8), ("a", 10)]
    assert [one.verdict for one in report.metrics] == ["passed", "passed"]


async def test_the_first_failed_metric_ends_all():
    scene = MeasureHarness()
    report = await scene.run(
        [metric("a", count=100, seconds=1), metric("b", count=100, seconds=1)],
        a=Readings(0.0),
        b=Readings(0.0, 0.0, 0.5),
    )
    assert report.verdict == "failed"
    assert [(one.name, one.verdict) for one in report.metrics] == [("a", "inconclusive"), ("b", "failed")]
    assert report.metrics[1].reason == "1 failed, 0 tolerated"
    assert scene.clock.now() == START + timedelta(seconds=2)


async def test_a_metric_that_never_began_when_another_failed_is_inconclusive():
    scene = MeasureHarness()
    report = await scene.run([metric("late", delay=60), metric("bad")], late=Readings(0.0), bad=Readings(1.0))
    assert [(one.verdict, len(one.measurements)) for one in report.metrics] == [("inconclusive", 0), ("failed", 1)]


async def test_an_inconclusive_metric_lets_the_others_finish():
    scene = MeasureHarness()
    report = await scene.run([metric("odd"), metric("good", count=3)], odd=Readings(math.nan), good=Readings(0.0))
    assert report.verdict == "inconclusive"
    assert [one.verdict for one in report.metrics] == ["inconclusive", "passed"]
    assert report.metrics[0].measurements[0].values == {"error_rate": None}


async def test_a_source_that_cannot_be_read_is_an_error_and_ends_over_its_limit():
    scene = MeasureHarness()
    broken = Readings(TemporaryError("no answer"))
    report = await scene.run(
        [metric(consecutive_error_limit=2), metric("good", count=99)], errors=broken, good=Readings(0)
    )
    assert report.verdict == "error"
    assert [(one.outcome, one.message) for one in report.metrics[0].measurements] == [("error", "no answer")] * 3


async def test_errors_between_are_measured_again():
    scene = MeasureHarness()
    report = await scene.run([metric(count=2)], errors=Readings(TemporaryError("x"), 0.0, TemporaryError("x"), 0.0))
    assert (report.verdict, len(report.metrics[0].measurements)) == ("passed", 4)


def compared(**keys: Any) -> MetricPolicy:
    told = {"source": "command", "command": "true", "values": ("error_rate",), "count": 40, "minimum_sample": 40}
    return MetricPolicy.model_validate({"name": "errors", "compare": "error_rate", **told, **keys})


async def beside(metric: MetricPolicy, ours: Readings, theirs: BaselineRelease) -> MetricReport:
    report = await measure(
        [metric], lambda _: ours, SimulatedClock(START), lambda _name, _taken: None, lambda _: theirs
    )
    return report.metrics[0]


async def test_a_metric_is_compared_with_what_is_read_of_the_baseline_at_the_same_time():
    report = await beside(compared(), Readings(0.5), BaselineRelease("rel-0", Readings(0.1)))
    assert report.verdict == "failed"
    assert report.reason.startswith("worse than release rel-0: Mann-Whitney U test gives p = ")
    assert len(report.measurements) == 40
    assert report.measurements[0].outcome == "sampled"
    assert (report.measurements[0].values, report.measurements[0].baseline) == (
        {"error_rate": 0.5},
        {"error_rate": 0.1},
    )
    assert report.comparison is not None
    assert (report.comparison.candidate_value, report.comparison.baseline_value) == (0.5, 0.1)


async def test_a_candidate_that_is_worse_early_ends_all_at_once():
    """Mutation tried: that measuring ended before its count is asked before the comparison."""
    report = await beside(compared(minimum_sample=10), Readings(0.5), BaselineRelease("rel-0", Readings(0.1)))
    assert (report.verdict, len(report.measurements)) == ("failed", 10)


async def test_a_metric_with_nothing_to_compare_with_is_inconclusive_though_its_condition_holds():
    of = compared(failure_condition="error_rate > 0.05")
    report = await beside(of, Readings(0.0), BaselineRelease(missing="no other release serves"))
    assert (report.verdict, report.reason) == ("inconclusive", "not compared: no other release serves")
    assert {taken.outcome for taken in report.measurements} == {"success"}


async def test_a_condition_ends_what_the_comparison_has_not_decided():
    of = compared(failure_condition="error_rate > 0.05")
    report = await beside(of, Readings(0.0, 0.1), BaselineRelease("rel-0", Readings(0.1)))
    assert (report.verdict, report.reason) == ("failed", "1 failed, 0 tolerated")


async def test_a_baseline_that_cannot_be_read_is_no_error_of_the_candidates():
    report = await beside(compared(), Readings(0.0), BaselineRelease("rel-0", Readings(TemporaryError("no answer"))))
    assert (report.verdict, report.reason) == ("inconclusive", "not compared: 0 of at least 40 sampled")
    assert report.measurements[0].message == "0 of at least 40 sampled; the baseline: no answer"


async def test_a_defect_in_the_candidates_source_leaves_nothing_of_the_baselines_running():
    clock = SimulatedClock(START)
    slow = BaselineRelease("rel-0", Readings(0.0, clock=clock, takes=9))
    with pytest.raises(ZeroDivisionError):
        await beside(compared(), Readings(ZeroDivisionError()), slow)
    assert len(asyncio.all_tasks()) == 1


async def test_a_defect_in_a_source_ends_the_measuring_and_comes_out():
    scene = MeasureHarness()
    with pytest.raises(ZeroDivisionError):
        await scene.run([metric("a"), metric("b", count=999)], a=Readings(ZeroDivisionError()), b=Readings(0.0))
    assert len(asyncio.all_tasks()) == 1


async def test_cancelling_the_measuring_leaves_nothing_running():
    task = asyncio.create_task(
        measure([metric(delay=3600)], lambda _: Readings(0.0), RealClock(), lambda _name, _taken: None)
    )
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(asyncio.all_tasks()) == 1


async def test_no_metric_is_no_success():
    assert (await MeasureHarness().run([])).verdict == "inconclusive"


async def test_a_report_is_stored_and_read_back_and_shown():
    report = await MeasureHarness().run([metric(count=2, inconclusive_limit=1)], errors=Readings(math.nan, 0.0123456))
    assert HealthReport.from_canonical(report.canonical()) == report
    assert report.markdown().splitlines() == [
        "# Health: passed",
        "",
        "## errors: passed",
        "",
        "2 measured, 0 failed",
        "",
        "| at | outcome | error_rate | why |",
        "| --- | --- | --- | --- |",
        "| 00:00:00 | inconclusive | – | error_rate > 0.05 cannot be told: a value is not a number |",
        "| 00:00:01 | success | 0.01235 | error_rate was 0.01235, so error_rate > 0.05 is false |",
    ]


async def test_the_real_clock_waits():
    clock = RealClock()
    before = clock.now()
    await clock.sleep(timedelta(milliseconds=20))
    await clock.sleep(timedelta(seconds=-5))
    assert timedelta(milliseconds=15) < clock.now() - before < timedelta(seconds=4)
