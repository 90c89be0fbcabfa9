"""Story of a run as one table: artifacts, costs, decisions, effects and their undoing, attempt by attempt.

Reads a report alone.
"""

from __future__ import annotations

from datetime import datetime

from rich.table import Table
from rich.text import Text

from phasegate.flows.cli.sanitize import one_line, sanitize
from phasegate.flows.cli.views.event_text import reason_text
from phasegate.flows.cli.views.run_page import stage_name
from phasegate.flows.cli.views.summaries import summary
from phasegate.flows.cli.views.tables import seconds_text, status_text, table
from phasegate.flows.views.report import RunReport, StageReport


def story_table(report: RunReport) -> Table:
    """Table of a run's attempts; a decision or an effect is in the row of the attempt it followed."""
    headers = ("stage", "attempt", "what came out", "tokens", "time", "decision", "effect", "undone")
    rows = table(*headers, whole=(*headers[:2], *headers[3:]))
    for stage in report.stages:
        effects = [effect for effect in report.effects if _row_of(report, effect.intended_at) is stage]
        rows.add_row(
            Text(stage_name(stage, "\n")),
            str(stage.attempt),
            Text(one_line(_came_out(stage), 60), style="red" if stage.error else ""),
            f"{stage.usage.tokens:,}" if stage.usage.turns else "–",
            seconds_text(stage.started_at, stage.finished_at),
            Text("\n".join(_decisions(report, stage))),
            Text("\n".join(sanitize(effect.kind) for effect in effects)),
            Text("\n").join(status_text("undone" if effect.status == "undone" else "no") for effect in effects),
        )
    return rows


def obsolete_table(report: RunReport) -> Table:
    """Table of obsolete tests: each with its criterion, its replacement, and the agent that named it."""
    rows = table("test that went", "by", "in its place", "named by")
    evidence = report.latest("evidence")
    criteria = (
        {criterion["id"]: f"{criterion['id']}: {criterion['statement']}" for criterion in evidence.content["criteria"]}
        if evidence
        else {}
    )
    for test in evidence.content.get("amended", ()) if evidence else ():
        if test["status"] in ("amended", "by-eye"):
            late = test["added_after_change"]
            rows.add_row(
                Text(sanitize(test["test"])),
                Text(sanitize(criteria.get(str(test["criterion"]), str(test["criterion"])))),
                Text(sanitize(test["replacement"]) or "nothing"),
                Text("the tests' author, added after the change, which asked" if late else "the tests' author"),
            )
    return rows


def _came_out(stage: StageReport) -> str:
    if stage.error:
        return reason_text(stage.error)
    if stage.artifact is None:
        return stage.status
    return summary(stage.artifact.kind, stage.artifact.content)


def _decisions(report: RunReport, stage: StageReport) -> list[str]:
    gates = {gate.id: gate for gate in report.gates}
    return [
        f"{gates[decision.gate_id].gate}:\n{decision.verdict}"
        for decision in report.decisions
        if _row_of(report, gates[decision.gate_id].opened_at) is stage
    ]


def _row_of(report: RunReport, moment: datetime) -> StageReport | None:
    """The attempt that had begun last at a moment."""
    stages = [stage for stage in report.stages if stage.started_at <= moment]
    return stages[-1] if stages else None
