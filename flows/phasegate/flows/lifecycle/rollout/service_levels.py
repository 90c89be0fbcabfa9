"""Service levels of a release: policy's metrics, and the levels of the approved PRD that can be measured.

Asked by the stages that draft a release and that measure one. Policy decides how to measure; the PRD only adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from phasegate.agents.prd import Prd, ServiceLevel
from phasegate.flows.lifecycle.context import RunContext
from phasegate.infra.metrics.report import HealthReport, MetricReport
from phasegate.infra.policy.model import Policy
from phasegate.infra.policy.monitor import MetricPolicy


@dataclass(frozen=True)
class Levels:
    """The metrics of a run's release.

    Attributes:
        metrics: Policy's metrics first, then the PRD's.
        unmeasured: The PRD's levels that nothing measures, each with the reason.
    """

    metrics: tuple[MetricPolicy, ...]
    unmeasured: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """Descriptions of the metrics, a line each."""
        return tuple(_line(metric) for metric in self.metrics)


def levels_of(run: RunContext) -> Levels:
    """Metrics of this run's release, from its policy and its approved PRD."""
    return service_levels(run.policy, _stated(run))


def compared_before(run: RunContext) -> dict[str, MetricReport]:
    """Metrics that were no worse than the baseline's while the candidate ran; the result holds from then on.

    After the cut-over there is no release left to compare with, and a measurement of another hour is no baseline.
    """
    ledger = run.ledger
    attempts = [
        attempt for attempt in ledger.attempts.list(run.id) if attempt.stage == "deployment" and not attempt.superseded
    ]
    digests = [attempt.artifact for attempt in attempts if attempt.artifact]
    reports = [digest for digest in digests if ledger.artifacts.json(digest)["kind"] == HealthReport.kind]
    metrics = [metric for digest in reports for metric in ledger.artifacts.get(digest, HealthReport).metrics]
    return {
        metric.name: metric for metric in metrics if metric.comparison and metric.comparison.conclusion == "no worse"
    }


def service_levels(policy: Policy, stated: Sequence[ServiceLevel | str]) -> Levels:
    """Metrics of a release; none if the policy's stages end before monitoring.

    Args:
        policy: The policy.
        stated: The PRD's service levels.
    """
    if "monitoring" not in policy.lifecycle.stages:
        return Levels((), tuple(f"{_words(level)}: the stages end before monitoring" for level in stated))
    unreachable = policy.deploy.target == "kubernetes" and not policy.deploy.url
    metrics, unmeasured = [*policy.metrics], list[str]()
    for number, level in enumerate(stated, 1):
        if not isinstance(level, ServiceLevel):
            unmeasured.append(f"{level}: the PRD names no path and condition for it")
        elif unreachable:
            unmeasured.append(f"{level.statement}: [deploy] url does not say where the service answers")
        else:
            metrics.append(level.metric(number))
    return Levels(tuple(metrics), tuple(unmeasured))


def _stated(run: RunContext) -> tuple[ServiceLevel | str, ...]:
    attempts = run.ledger.attempts.list(run.id)
    digests = [
        attempt.artifact
        for attempt in attempts
        if attempt.stage == "prd" and attempt.artifact and not attempt.superseded
    ]
    return run.ledger.artifacts.get(digests[-1], Prd).service_levels if digests else ()


def _words(level: ServiceLevel | str) -> str:
    return level.statement if isinstance(level, ServiceLevel) else level


def _line(metric: MetricPolicy) -> str:
    query = f"GET `{metric.path}`" if metric.source == "probe" else metric.source
    held = [f"{metric.success_condition} must hold"] if metric.success_condition else []
    held += [f"{metric.failure_condition} must not hold"] if metric.failure_condition else []
    held += [f"{metric.compare} no worse than that of the release before"] if metric.compare else []
    every = f"{metric.count} times, every {metric.interval.total_seconds():g} s"
    return f"**{metric.name}**: {query}, {', '.join(held) or 'no condition'} ({every})"
