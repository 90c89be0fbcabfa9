"""Charts of a run's measurements, for both doors. It writes no file itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from phasegate.flows.views.report import RunReport, StageReport
from phasegate.infra.artifacts import canonical_json
from phasegate.infra.metrics.chart import chart
from phasegate.infra.metrics.report import HealthReport, MetricReport


def charts(report: RunReport) -> dict[str, str]:
    """File name to SVG: a chart per metric of each health report, in the reports' order."""
    return dict(_drawn(report))


def _drawn(report: RunReport) -> Iterator[tuple[str, str]]:
    for stage in report.stages:
        if stage.artifact is not None and stage.artifact.kind == HealthReport.kind:
            for number, metric in enumerate(_metrics(stage.artifact.content), 1):
                yield _name(stage, number, metric), chart(metric)


def _metrics(content: Mapping[str, Any]) -> tuple[MetricReport, ...]:
    try:
        return HealthReport.from_canonical(canonical_json({"kind": HealthReport.kind, **content})).metrics
    except ValueError:  # written by a later version: `show` shows it as it is stored
        return ()


def _name(stage: StageReport, number: int, metric: MetricReport) -> str:
    """File name of a chart: unique, whatever the metric's name is."""
    called = re.sub(r"[^A-Za-z0-9_-]+", "-", metric.name).strip("-")[:40]
    return "-".join(filter(None, (stage.stage, stage.part, str(stage.attempt), str(number), called))) + ".svg"
