"""Page of a run on the terminal, for `show` and the demo.

Everything that comes from a ticket, a model or a tool goes through `sanitize` and rich's `Text`, so nothing in it is
taken for markup or reaches the terminal as a command.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.console import ConsoleRenderable, Group
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from phasegate.flows.cli.output import for_terminal
from phasegate.flows.cli.sanitize import one_line, sanitize
from phasegate.flows.cli.views.event_text import attempt_name, reason_text, receipt
from phasegate.flows.cli.views.next_steps import next_steps
from phasegate.flows.cli.views.summaries import counted
from phasegate.flows.cli.views.tables import status_text, table, work_text
from phasegate.flows.views.artifact_types import markdown
from phasegate.flows.views.branches import RunBranches
from phasegate.flows.views.pending import approvals_text, waiting_times
from phasegate.flows.views.report import RunReport, StageReport, UsageReport
from phasegate.infra.ledger import Gate

_COMMIT, _SHORT_COMMIT = re.compile(r"^([0-9a-f]{12})[0-9a-f]{28}$"), r"\1"
_SHORT = 19  # `sha256:` and twelve digits, as gates name digests


def short(digest: str) -> str:
    """A digest as people compare it: `sha256:` and its first twelve digits."""
    return digest[:_SHORT]


def cost_text(usage: UsageReport, *, unknown: str = "price unknown", rehearsed: bool = False) -> str:
    """Money in US dollars, or that the price is unknown. A rehearsal has the price that its tokens would have cost."""
    if not usage.turns:
        return "–"
    if usage.cost_usd is None:
        return unknown
    return f"{'would cost ' if rehearsed else ''}${usage.cost_usd:.4f}{' + unknown' if usage.unpriced else ''}"


def page(report: RunReport, branches: RunBranches) -> Group:
    """The whole of a run, with the open gate's page at the end."""
    parts: list[ConsoleRenderable] = [_head(report, branches)]
    if report.stages:
        parts.append(stages_table(report))
        parts += [_error(stage) for stage in report.stages if stage.error]
    if report.messages or report.questions:
        parts.append(_said(report))
    if report.decisions:
        parts.append(_decisions(report))
    if report.effects:
        parts.append(_effects(report))
    if (incident := report.latest("incident")) is not None:
        parts += [Rule(Text("incident")), _drawn(incident.kind, incident.content), Rule()]
    parts += _failed_grade(report)
    parts += _checks(report)
    parts += _gate_page(report) if report.open_gate is not None else _cautions(report)
    steps = for_terminal("\n".join(next_steps(report, branches, shown=True)), sys.stdout)
    parts.append(Text(steps, no_wrap=True, overflow="ignore"))  # commands to copy are not broken
    return Group(*parts)


def _drawn(kind: str, content: Mapping[str, Any]) -> ConsoleRenderable:
    """An artifact as a person reads it; what draws Markdown is loaded where there is some."""
    from phasegate.flows.cli.views.plain_markdown import PlainMarkdown

    return PlainMarkdown(markdown(kind, content))


def gate_questions(report: RunReport) -> Group:
    """The page of the open gate alone."""
    return Group(*_gate_page(report))


def stages_table(report: RunReport) -> Table:
    """Table of a run's attempts."""
    headers = ("stage", "attempt", "status", "made", "model", "tokens\ncost", "time")
    rows = table(*headers, whole=(*headers[:4], *headers[5:]))
    waits = waiting_times(report.gates, report.decisions, report.questions)
    for stage in report.stages:
        artifact = stage.artifact
        rows.add_row(
            Text(stage_name(stage, "\n")),
            str(stage.attempt),
            status_text("adopted" if stage.origin else stage.status),
            Text(f"{sanitize(artifact.kind)}\n{artifact.digest.removeprefix('sha256:')[:12]}" if artifact else ""),
            Text("\n".join(one_line(model, 40) for model in stage.models)),
            f"{stage.usage.tokens:,}\n{cost_text(stage.usage, unknown='price ?')}" if stage.usage.turns else "–",
            work_text(stage.started_at, stage.finished_at, waits),
        )
    return rows


def stage_name(stage: StageReport, between: str = " ") -> str:
    """A stage, with its part if it has several."""
    return f"{stage.stage}{between}({stage.part})" if stage.part else stage.stage


def _head(report: RunReport, branches: RunBranches) -> Text:
    title = Text.assemble((one_line(report.title), "bold"), "\n", f"run {report.id} · ", status_text(report.status))
    title.append(f" {report.pending.text}" if report.pending.text else "")
    if why := one_line(reason_text(report.reason), 700):
        title.append(f": {why}")
    title.append(
        f"\nasked for by {sanitize(report.requester)} on {report.created_at.astimezone():%Y-%m-%d %H:%M}, "
        f"from {sanitize(branches.start)} at {report.base_commit[:12]} of {sanitize(report.repository)}"
    )
    cost = cost_text(report.usage, rehearsed=bool(report.options.rehearsal))
    title.append(
        f"\n{report.usage.tokens:,} tokens in {counted(report.usage.turns, 'turn')} · {cost} · "
        f"policy {short(report.policy)}"
    )
    if origin := _origin(report):
        title.append(f"\n{origin}")
    if report.options.rehearsal:
        title.append("\nrehearsed: a script answered and nothing was paid; a price is what a model would have cost")
    for notice in report.options.notices:
        title.append(f"\n! {one_line(notice, 300)}", style="yellow")
    if report.progress is not None:
        title.append(f"\n{report.progress.stage}: {one_line(report.progress.text, 300)}", style="cyan")
    if report.release is not None:
        title.append(f"\n{'served on' if report.release.current else 'was served on'} {sanitize(report.release.url)}")
    return title


def _origin(report: RunReport) -> str:
    """The earlier run that this run replays or rehearses, and what it adopts, or an empty text if there is none."""
    if report.origin is None:
        return ""
    earlier = sanitize(report.origin.run)
    if report.origin.is_rehearsal:
        return f"rehearses run {earlier}: answered from its record, nothing is performed"
    decided = {decision.gate_id for decision in report.decisions}
    sources = list(dict.fromkeys(stage_name(stage) for stage in report.stages if stage.origin))
    sources += [
        f"the answer at gate {gate.gate}"
        for gate in report.gates
        if gate.status == "approved" and gate.id not in decided
    ]
    adopted = f", and adopts {', '.join(sources)}" if sources else ""
    return f"replays run {earlier} from {report.origin.stage} on{adopted}"


def _error(stage: StageReport) -> Text:
    return Text(f"✗ {stage_name(stage)}, attempt {stage.attempt}: {sanitize(reason_text(stage.error))}", style="red")


def _failed_grade(report: RunReport) -> list[ConsoleRenderable]:
    """The latest grade if it failed and no gate shows it: the reason for the run's state."""
    latest = report.latest("evidence")
    if latest is None or latest.content.get("verdict") != "failed" or report.open_gate is not None:
        return []
    return [Rule(Text("why the grade failed")), _drawn(latest.kind, latest.content), Rule()]


def _said(report: RunReport) -> Table:
    """Table of messages, questions and answers between people and agents, with the receipts."""
    lines: list[tuple[datetime, str, str, str]] = []
    for message in report.messages:
        urgent = " (at once)" if message.urgent else ""
        lines.append((message.queued_at, message.sender, message.text, receipt(message) + urgent))
    for question in report.questions:
        lines.append((question.asked_at, attempt_name(question.id), question.text, "asked"))
        if question.answer is not None and question.answered_at is not None:
            lines.append((question.answered_at, question.answered_by, question.answer, "answered"))
    rows = table("from", "said", "receipt")
    for _, sender, text, state in sorted(lines, key=lambda line: line[0]):
        rows.add_row(Text(sanitize(sender)), Text(one_line(text, 400)), Text(state))
    return rows


def _decisions(report: RunReport) -> Table:
    gates = {gate.id: gate for gate in report.gates}
    rows = table("gate", "decision", "by", "about", "note")
    for decision in report.decisions:
        gate = gates[decision.gate_id]
        by = f"{sanitize(decision.approver)} ({decision.identity}{', in advance' if decision.standing else ''})"
        note = "" if decision.standing else one_line(decision.note, 200)
        verdict = f"{decision.verdict} (override)" if decision.override else decision.verdict
        rows.add_row(gate.gate, verdict, Text(by), short(decision.subject_digest), Text(note))
    return rows


def _effects(report: RunReport) -> Table:
    rows = table("effect", "status", "what came of it", "undoing it")
    for effect in report.effects:
        result: dict[str, Any] = effect.undo_result or effect.result or {}
        details = ", ".join(
            f"{key} {_COMMIT.sub(_SHORT_COMMIT, str(value))}"
            for key, value in result.items()
            if isinstance(value, str | int) and value != ""
        )
        rows.add_row(
            Text(sanitize(effect.kind)),
            status_text(effect.status),
            Text(one_line(details, 160)),
            Text(one_line(effect.compensation, 160)),
        )
    return rows


def _checks(report: RunReport) -> Iterator[Text]:
    """Lines for the checks that were made before the run's release became current."""
    releases = [stage.artifact for stage in report.stages if stage.artifact and stage.artifact.kind == "release"]
    for check in releases[-1].content["checks"] if releases else ():
        mark = "✓" if check["ok"] else "✗"
        yield Text(f"{mark} {sanitize(check['name'])}: {one_line(check['detail'], 300)}")


def _gate_page(report: RunReport) -> list[ConsoleRenderable]:
    gate = report.open_gate
    if gate is None:
        return []
    about = ", ".join(f"{sanitize(name)} {short(digest)}" for name, digest in gate.subject.items())
    return [
        Rule(Text(f"gate {gate.gate}")),
        *_authority(report, gate),
        *([Text(sanitize(text))] if (text := approvals_text(gate, report.decisions)) else []),
        *([Text(f"now: {one_line(report.progress.text, 300)}", style="cyan")] if report.progress else []),
        *_asked(report),
        *_warnings(report),
        *_cautions(report),
        Text(f"An approval counts for exactly this: {about}\nsubject {short(gate.subject_digest)}", style="dim"),
        Rule(),
    ]


def _authority(report: RunReport, gate: Gate) -> Iterator[Text]:
    """The files of a change that decide who decides, before anything else."""
    for artifact in report.artifacts_of(gate):
        if files := artifact.content.get("authority_files"):
            who = f" Only {' or '.join(map(sanitize, gate.roles))} may decide it." if gate.roles else ""
            yield Text(f"! This change decides who decides: {sanitize(', '.join(files))}.{who}", style="bold red")


def _warnings(report: RunReport) -> Iterator[Text]:
    if report.sandbox == "none":
        yield Text("! no sandbox: commands of agents and tests run with your rights", style="bold yellow")
    for off in report.gates_off:
        yield Text(f"! gate {off.gate} is off: {one_line(off.reason, 300)}", style="yellow")


_CAUTIONS = {
    "replaced": "! another model took over: {}",
    "denied": "! the agent tried, and was refused: {}",
    "attempted": "! the agent tried: {}",
    "masked": "! a secret was masked: {}",
}


def _cautions(report: RunReport) -> Iterator[Text]:
    for caution in report.cautions:
        times = f" ×{caution.count}" if caution.count > 1 else ""
        head = _CAUTIONS[caution.sort].format(f"{sanitize(caution.what)}{times}")
        where = f" ({sanitize(', '.join(caution.stages))})" if caution.stages else ""
        examples = "; ".join(one_line(example, 120) for example in caution.examples)
        yield Text(f"{head}{where}: {examples}", style="yellow")


def _asked(report: RunReport) -> Iterator[ConsoleRenderable]:
    gate = report.open_gate
    for artifact in report.artifacts_of(gate) if gate else ():
        yield _drawn(artifact.kind, artifact.content)
