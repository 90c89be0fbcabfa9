"""Tables of what a release left behind, which are queried in SQL and cannot be changed.

Asked by the monitoring agent, and by code for what the agent's evidence comes to. It must not know either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from phasegate.infra.grading.tree.diff import Hunk
from phasegate.infra.metrics.report import HealthReport
from phasegate.infra.metrics.sources.duckdb_process import ask_duckdb

_TIME = timedelta(seconds=5)

Happened = tuple[int, datetime, str, str, str]
"""Event of a run: its number, time, kind, stage, and what else is known, as JSON."""


@dataclass(frozen=True)
class Tables:
    """The tables' content; every question is answered from a fresh copy.

    Attributes:
        reports: What was measured: `metrics (name, measured_at, value_name, value, baseline, outcome, why)`.
        log: What the release wrote: `log (number, line, json)`.
        events: What happened in the run: `events (number, happened_at, kind, stage, payload)`.
        hunks: The pieces of the change: `hunks (file, hunk, first, last, added, removed)`.
    """

    reports: Sequence[HealthReport] = ()
    log: str = ""
    events: Sequence[Happened] = ()
    hunks: Sequence[Hunk] = ()

    def ask(self, sql: str) -> str:
        """The answer to one SELECT, as lines with ` | ` between the columns; its beginning where it is long.

        Raises:
            QueryRefused: It is no single SELECT, does not hold, reaches for something else, or takes too much.

        Effects:
            A process for as long as it takes, without the engine's environment.
        """
        return str(ask_duckdb({"sql": sql, "log": self.log, "rows": self._rows()}, _TIME)["answer"])

    def _rows(self) -> dict[str, list[list[object]]]:
        return {
            "metrics": [
                [
                    metric.name,
                    _moment(measurement.at),
                    name,
                    value,
                    measurement.baseline.get(name),
                    measurement.outcome,
                    measurement.message,
                ]
                for report in self.reports
                for metric in report.metrics
                for measurement in metric.measurements
                for name, value in (measurement.values or {"": None}).items()
            ],
            "events": [[number, _moment(at), *rest] for number, at, *rest in self.events],
            "hunks": [
                [
                    piece.path,
                    number,
                    *piece.span,
                    _text(line for _, line in piece.added),
                    _text(piece.removed),
                ]
                for number, piece in enumerate(self.hunks, 1)
            ],
        }


def _moment(at: datetime) -> str:
    """In UTC and without saying so: DuckDB needs an extension for time zones."""
    return (at.replace(tzinfo=None) - (at.utcoffset() or timedelta())).isoformat(sep=" ")


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines)
