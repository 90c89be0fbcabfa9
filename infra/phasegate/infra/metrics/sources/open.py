"""The source that a metric names, of a release and of the one it is compared with.

Called by the monitoring stage, once per metric.
"""

from __future__ import annotations

from phasegate.infra.metrics.sources.command import Command
from phasegate.infra.metrics.sources.measured_release import MeasuredRelease
from phasegate.infra.metrics.sources.port import BaselineRelease, MetricSource
from phasegate.infra.metrics.sources.probe import Probe
from phasegate.infra.metrics.sources.prometheus import Prometheus
from phasegate.infra.policy.monitor import MetricPolicy


def source_of(metric: MetricPolicy, released: MeasuredRelease) -> MetricSource:
    """Open the source of a metric's values; nothing is asked yet."""
    match metric.source:
        case "probe":
            return Probe(metric, released.url)
        case "prometheus":
            return Prometheus(metric, released)
        case "command":
            return Command(metric, released)
        case "log":
            # DuckDB takes 30 MB, and most policies never ask a log.
            from phasegate.infra.metrics.sources.log import LogQuery  # noqa: PLC0415 -- see above

            return LogQuery(metric, released)


def baseline_of(metric: MetricPolicy, released: MeasuredRelease, serving: MeasuredRelease | None) -> BaselineRelease:
    """Open the baseline that a metric of a release is compared with; nothing is asked yet.

    Args:
        metric: The metric; without `compare` there is nothing to compare.
        released: The release that is measured.
        serving: The release that serves beside it at this time; `None` if there is none.
    """
    if not metric.compare:
        return BaselineRelease()
    if serving is None:
        return BaselineRelease(missing="no other release serves at the same time")
    if metric.source == "probe" and serving.url == released.url:
        return BaselineRelease(
            serving.release_id, missing=f"both releases answer at {released.url}: a probe cannot tell them apart"
        )
    return BaselineRelease(serving.release_id, source_of(metric, serving))
