"""Facts of an incident that code finds: the record, the answers of queries, and a check of the suspected hunk.

Used by stage `monitoring` around the agent's reading, so that an incident's statements can be checked without the
agent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from phasegate.agents.models.conversation import JsonObject
from phasegate.agents.monitoring import Evidence, EvidenceResult, Incident, IncidentDraft, TimelineEntry
from phasegate.flows.lifecycle.context import RunContext
from phasegate.infra.artifacts import canonical_json
from phasegate.infra.grading.tree.diff import Hunk, hunks
from phasegate.infra.ledger import Event
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.metrics.report import HealthReport, MetricReport
from phasegate.infra.metrics.sources.duckdb_process import QueryRefused
from phasegate.infra.metrics.tables import Happened, Tables
from phasegate.infra.workspace import ChangeSet
from phasegate.infra.workspace.change_set import readable

LOG_CHARACTERS = 4 * 1024**2
"""Of a release's log that can be asked, the last ones."""
_ASKED = 20
"""Pieces of evidence whose queries are asked."""
_SHOWN_LINES = 60
_GATES = frozenset({"release", "promotion"})
_OUTCOMES = {
    EventKind.EFFECT_DONE: "done",
    EventKind.EFFECT_UNDONE: "undone",
    EventKind.EFFECT_STUCK: "could not be undone",
}
_PLACE = re.compile(r"(?P<path>.+?)(?::(?P<first>\d+)(?:\s*[-–]\s*(?P<last>\d+))?)?")


def on_record(run: RunContext, report: HealthReport) -> list[TimelineEntry]:
    """Timeline of a release, from the ledger's events and the measurements."""
    gates = {gate.id: gate.gate for gate in run.ledger.gates.list(run.id)}
    entries = [(event.at, what) for event in run.ledger.events(run.id) if (what := _entry_text(event, gates))]
    entries += [moment for metric in report.metrics for moment in _turns(metric)]
    return [TimelineEntry(at=_iso(at), what=what) for at, what in sorted(entries, key=lambda entry: entry[0])]


def tables_of(run: RunContext, change: ChangeSet, log: str) -> Tables:
    """Tables that can be queried about a release: its measurements, its log, the run's events, the change's hunks."""
    ledger = run.ledger
    digests = [
        attempt.artifact for attempt in ledger.attempts.list(run.id) if attempt.artifact and not attempt.superseded
    ]
    reports = [digest for digest in digests if ledger.artifacts.json(digest)["kind"] == HealthReport.kind]
    repository, base, commit = run.world.repository, change.base_commit, change.commit
    pieces = [piece for file in hunks(repository, base, commit, repository.changed(base, commit)) for piece in file]
    return Tables(
        reports=[ledger.artifacts.get(digest, HealthReport) for digest in reports],
        log=log,
        events=tuple(_happened(ledger.events(run.id))),
        hunks=pieces,
    )


def incident(
    draft: IncidentDraft, tables: Tables, record: Sequence[TimelineEntry], *, release: str, health_report: str
) -> Incident:
    """Complete the agent's reading with the record, the answer of each query, and the suspected hunk.

    Args:
        draft: The agent's draft.
        tables: The tables that its queries read.
        record: The timeline.
        release: The digest of the release.
        health_report: The digest of the health report.
    """
    suspected = suspect(draft.suspected_hunk, tables.hunks)
    suspicion = "" if not draft.suspected_hunk else "in the change" if suspected else "not in the change"
    reading = draft.model_dump(exclude={"evidence"})
    evidence = [_shown(item, tables, asked=number < _ASKED) for number, item in enumerate(draft.evidence)]
    added = {"record": record, "evidence": evidence, "release": release, "health_report": health_report}
    lines = "\n".join(_lines(suspected)[:_SHOWN_LINES]) if suspected else ""
    return Incident.model_validate({**reading, **added, "suspicion": suspicion, "suspected_lines": lines})


def suspect(place: str, among: Sequence[Hunk]) -> Hunk | None:
    """The hunk of a change that `FILE:FIRST-LAST` names or first touches, or None if it is not in the change."""
    match = _PLACE.fullmatch(place.strip().strip("`"))
    if match is None:
        return None
    named = [hunk for hunk in among if readable(hunk.path) == match["path"]]
    if match["first"] is None:
        return next(iter(named), None)
    first, last = int(match["first"]), int(match["last"] or match["first"])
    return next((hunk for hunk in named if hunk.span[0] <= last and first <= hunk.span[1]), None)


def _lines(hunk: Hunk) -> list[str]:
    return [*(f"-{line}" for line in hunk.removed), *(f"+{line}" for _, line in hunk.added)]


def _shown(item: Evidence | str, tables: Tables, *, asked: bool) -> EvidenceResult | str:
    if isinstance(item, str):
        return item
    if not item.query:
        return EvidenceResult(statement=item.statement, result="(no query was given that shows it)")
    try:
        result = tables.ask(item.query) if asked else f"(not asked: only {_ASKED} are)"
    except QueryRefused as refused:
        result = f"(not answered: {refused})"
    return EvidenceResult(statement=item.statement, query=item.query, result=result)


def _happened(events: Sequence[Event]) -> Iterator[Happened]:
    """Events without agents' messages and readings, which belong to no release."""
    for event in events:
        if not event.kind.startswith(("turn.", "tools.", "message.", "question.")):
            attempt = str(event.payload.get("attempt", ""))
            stage = str(event.payload.get("stage", "")) or (AttemptId.parse(attempt).stage if attempt else "")
            yield event.position, event.at, event.kind, stage, canonical_json(event.payload)


def _entry_text(event: Event, gates: dict[str, str]) -> str:
    """Describe an event in a few words, or return an empty text if it is not about the release."""
    payload = event.payload
    match event.kind:
        case EventKind.EFFECT_DONE | EventKind.EFFECT_UNDONE | EventKind.EFFECT_STUCK:
            name = str(payload["effect"]).removeprefix(f"{event.run_id}/").partition("/")[0]
            result: JsonObject = payload.get("result") or payload.get("error") or {}
            what = result.get("detail") or result.get("url") or result.get("message") or ""
            done = _OUTCOMES[EventKind(event.kind)]
            return f"{name} {done}{f': {what}' if what else ''}"
        case EventKind.ROLLBACK_BEGAN:
            return "rolling back, newest effect first"
        case EventKind.GATE_OPENED if payload["gate"] in _GATES:
            return f"gate {payload['gate']} opened"
        case EventKind.GATE_DECIDED | EventKind.GATE_OVERRIDDEN if (gate := gates.get(str(payload["gate"]))) in _GATES:
            return f"gate {gate}: {payload['verdict']} by {event.actor}"
        case EventKind.RUN_RECOVERED:
            return "picked up again after an interruption"
        case _:
            return ""


def _turns(metric: MetricReport) -> Iterator[tuple[datetime, str]]:
    """Timeline of a metric: its first measurement, its first failure, and its last measurement."""
    measurements = metric.measurements
    if not measurements:
        return
    yield measurements[0].at, f"{metric.name}: first measured"
    if first := next((measurement for measurement in measurements if measurement.outcome == "failure"), None):
        yield first.at, f"{metric.name}: first failure: {first.message}"
    yield measurements[-1].at, f"{metric.name} {metric.verdict}: {metric.reason}"


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
