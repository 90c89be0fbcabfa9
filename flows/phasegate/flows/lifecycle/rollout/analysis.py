"""Analysis of a release by code: once, or in the background.

Called by the steps and by stage `monitoring`. Each analysis is an attempt whose artifact is a `HealthReport`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from phasegate.flows.lifecycle.attempts import attempt
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.rollout.service_levels import compared_before, levels_of
from phasegate.infra.deploy.target import Candidate, LiveRelease, Release
from phasegate.infra.ledger import Attempt
from phasegate.infra.metrics.analysis.clock import RealClock
from phasegate.infra.metrics.analysis.measure import measure
from phasegate.infra.metrics.analysis.verdict import overall
from phasegate.infra.metrics.analysis.watch import BROKEN, OnMeasurement, Watch
from phasegate.infra.metrics.report import HealthReport
from phasegate.infra.metrics.sources.measured_release import MeasuredRelease
from phasegate.infra.metrics.sources.open import baseline_of, source_of
from phasegate.infra.policy.monitor import MetricPolicy

_MEASURED_LOG = 32 * 1024**2
"""Characters of a release's log that a query sees: the last ones."""


class ReleaseAnalysis:
    """Analysis of one release, as a candidate or as the current release."""

    def __init__(self, run: RunContext, release: Candidate | Release) -> None:
        """Prepare the analysis without measuring yet."""
        self.run, self.release = run, release
        self._released = self._as_measured(release)

    def named(self, names: Sequence[str]) -> tuple[MetricPolicy, ...]:
        """The policy's metrics of these names, all where none is named."""
        return tuple(metric for metric in levels_of(self.run).metrics if not names or metric.name in names)

    async def once(
        self,
        stage: str,
        part: str,
        metrics: Sequence[MetricPolicy],
        on_measurement: OnMeasurement,
        inputs: Mapping[str, str],
    ) -> HealthReport:
        """Measure until every metric has a verdict.

        Effects:
            One attempt of this part.
        """

        async def measured(_row: Attempt) -> HealthReport:
            return await self.run.source.measure(partial(self._measure, metrics, on_measurement))

        number = self.run.numbers.next(stage, part)
        return await attempt(self.run, stage, number, HealthReport, measured, part=part, inputs=inputs)

    async def until(
        self, stage: str, part: str, until: datetime, on_measurement: OnMeasurement, inputs: Mapping[str, str]
    ) -> HealthReport:
        """Measure all metrics, series after series, up to a moment; each at least one series long.

        Effects:
            One attempt of this part.
        """
        number, watch = self.run.numbers.next(stage, part), self._watch(self.named(()), on_measurement, until=until)

        async def measured(_row: Attempt) -> HealthReport:
            return await self.run.source.measure(watch.run)

        return await attempt(self.run, stage, number, HealthReport, measured, part=part, inputs=inputs)

    def in_background(
        self,
        stage: str,
        part: str,
        metrics: Sequence[MetricPolicy],
        on_measurement: OnMeasurement,
        inputs: Mapping[str, str],
    ) -> BackgroundAnalysis:
        """Measure in the background, from now until the watch is ended.

        Effects:
            One attempt of this part.
        """
        number, watch = self.run.numbers.next(stage, part), self._watch(metrics, on_measurement)

        async def measured(_row: Attempt) -> HealthReport:
            return await self.run.source.measure(watch.run)

        attempted = attempt(self.run, stage, number, HealthReport, measured, part=part, inputs=inputs)
        return BackgroundAnalysis(self.run, watch, self.run.background.start(attempted))

    def _watch(
        self, metrics: Sequence[MetricPolicy], on_measurement: OnMeasurement, *, until: datetime | None = None
    ) -> Watch:
        async def measure_one(metric: MetricPolicy, notify: OnMeasurement) -> HealthReport:
            return await self._measure((metric,), notify)

        return Watch(metrics, measure_one, RealClock(), on_measurement, until=until)

    async def _measure(self, metrics: Sequence[MetricPolicy], on_measurement: OnMeasurement) -> HealthReport:
        """Measure each metric; in its place a release is held to conditions alone where its candidate was compared."""
        stands = {} if isinstance(self.release, Candidate) else compared_before(self.run)
        over = [stands[metric.name] for metric in metrics if metric.name in stands and not metric.conditions]
        remaining = [
            metric.model_copy(update={"compare": ""}) if metric.name in stands else metric
            for metric in metrics
            if metric.name not in stands or metric.conditions
        ]
        serving = await self._serving() if any(metric.compare for metric in remaining) else None
        measured = await measure(
            remaining,
            lambda metric: source_of(metric, self._released),
            RealClock(),
            on_measurement,
            lambda metric: baseline_of(metric, self._released, serving),
        )
        reports = (*measured.metrics, *over)
        return HealthReport(verdict=overall(report.verdict for report in reports), metrics=reports)

    async def _serving(self) -> MeasuredRelease | None:
        """The current release, to compare a candidate with, or None if there is no other release alive."""
        current = (await self.run.world.target.status()).current
        if current is None or not current.alive or current.release_id == self.release.release_id:
            return None
        return self._as_measured(current, current.own_url)

    def _as_measured(self, release: Candidate | Release | LiveRelease, own_url: str = "") -> MeasuredRelease:
        run = self.run

        async def files() -> Path:
            return await run.world.checkout(run.base_commit)

        return MeasuredRelease(
            release.release_id,
            release.commit,
            own_url or release.url,
            lambda: run.world.service_log(release.release_id, characters=_MEASURED_LOG),
            files,
            run.resources.environment,
            run.secrets,
        )


class BackgroundAnalysis:
    """A release that is measured in the background; satisfies `gates.ConcurrentCheck`."""

    def __init__(self, run: RunContext, watch: Watch, task: asyncio.Task[HealthReport]) -> None:
        """Follow the task that measures, and wake the run at its end."""
        self._watch, self.task = watch, task
        task.add_done_callback(lambda _: run.executor.wakeups.notify(run.id))

    @property
    def finished(self) -> bool:
        """True once it has found the release bad, or cannot continue."""
        if not self.task.done():
            return False
        return self.task.cancelled() or self.task.exception() is not None or self.task.result().verdict in BROKEN

    def breach(self) -> HealthReport | None:
        """The report that fails the release, or None so far.

        Raises:
            RunSignal, PhasegateError: The error that ended the analysis instead.
        """
        report = self.task.result() if self.task.done() else None
        return report if report is not None and report.verdict in BROKEN else None

    def failure(self) -> str:
        """As `gates.ConcurrentCheck.failure`."""
        report = self.breach()
        return "" if report is None else f"what was measured meanwhile {report.verdict}: {report.failed_reasons}"

    async def end(self) -> HealthReport:
        """End the analysis and return its report; an adopted analysis gives the recorded report."""
        self._watch.end()
        return await self.task
