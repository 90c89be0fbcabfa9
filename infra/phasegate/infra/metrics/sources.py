"""The source that a metric names. Called by the monitoring stage, once per metric."""

from __future__ import annotations

from phasegate.infra.metrics.command import Command
from phasegate.infra.metrics.probe import Probe
from phasegate.infra.metrics.prometheus import Prometheus
from phasegate.infra.metrics.released import Released
from phasegate.infra.metrics.report import MetricSource
from phasegate.infra.policy.monitor import MetricPolicy


def source_of(metric: MetricPolicy, released: Released) -> MetricSource:
    """Where a metric's values come from; nothing is asked yet."""
    match metric.source:
        case "probe":
            return Probe(metric, released.url)
        case "prometheus":
            return Prometheus(metric, released)
        case "command":
            return Command(metric, released)
        case "log":
            # DuckDB takes 30 MB, and most policies never ask a log.
            from phasegate.infra.metrics.log import LogQuery  # noqa: PLC0415 -- see above

            return LogQuery(metric, released)
