"""A run's story as one table: what each attempt made, what it cost, who decided, what was done and undone.

Reads a report alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from phasegate.flows.cli.plain import one_line, plain
from phasegate.flows.cli.render import seconds_text, stage_name, status_text, table
from phasegate.flows.cli.story import reason_text
from phasegate.flows.report import RunReport, StageReport

_GISTS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "prd": lambda made: f"{len(made['acceptance_criteria'])} acceptance criteria",
    "sealed-tests": lambda made: f"{len(made['files'])} sealed test files",
    "change-set": lambda made: f"{len(made['files'])} files changed",
    "evidence": lambda made: f"grade {made['verdict']}",
    "release-plan": lambda made: f"a plan of {len(made['steps'])} steps",
    "health-report": lambda made: f"service level {made['verdict']}",
    "release": lambda made: f"release {made['release_id']}",
    "incident": lambda made: f"incident: {made['summary']}",
}


def story_table(report: RunReport) -> Table:
    """One row per attempt; decisions and effects stand in the row of the attempt they followed."""
    rows = table("stage", "attempt", "what came out", "tokens", "time", "decision", "effect", "undone")
    for stage in report.stages:
        effects = [effect for effect in report.effects if _row_of(report, effect.intended_at) is stage]
        rows.add_row(
            Text(stage_name(stage)),
            str(stage.attempt),
            Text(one_line(_came_out(stage), 60), style="red" if stage.error else ""),
            f"{stage.usage.tokens:,}" if stage.usage.turns else "–",
            seconds_text(stage.started_at, stage.finished_at),
            Text("\n".join(_decisions(report, stage))),
            Text("\n".join(plain(effect.kind) for effect in effects)),
            Text("\n").join(status_text("undone" if effect.status == "undone" else "no") for effect in effects),
        )
    return rows


def _came_out(stage: StageReport) -> str:
    if stage.error:
        return reason_text(stage.error)
    if stage.artifact is None:
        return stage.status
    gist = _GISTS.get(stage.artifact.kind)
    return gist(stage.artifact.content) if gist else stage.artifact.kind


def _decisions(report: RunReport, stage: StageReport) -> list[str]:
    gates = {gate.id: gate for gate in report.gates}
    return [
        f"{gates[decision.gate_id].gate}: {decision.verdict} by {plain(decision.approver)}"
        for decision in report.decisions
        if _row_of(report, gates[decision.gate_id].opened_at) is stage
    ]


def _row_of(report: RunReport, moment: datetime) -> StageReport | None:
    """The attempt that had begun last at a moment."""
    begun = [stage for stage in report.stages if stage.started_at <= moment]
    return begun[-1] if begun else None
