"""The monitoring agent: explains a breach after code has dealt with it. It computes no verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from phasegate.agents.stage import Draft, StageAgent, bullets, section
from phasegate.agents.tools.tool_sets import ASKING
from phasegate.infra.artifacts import Artifact
from phasegate.infra.metrics.report import HealthReport
from phasegate.infra.workspace import ChangeSet


class Evidence(Draft):
    """Something that bears on the cause."""

    statement: str
    """What it shows, with its figures."""
    query: str = ""
    """The SELECT that shows it."""


class IncidentDraft(Draft):
    """What happened, and what should be done about it."""

    summary: str = ""
    """What users saw and the most likely cause."""
    timeline: tuple[str, ...] = ()
    """What the record does not say of itself."""
    evidence: tuple[Evidence | str, ...] = ()
    """Figures and log lines that bear on the cause; a plain text where no query shows it."""
    suspected_hunk: str = ""
    """FILE:FIRST-LAST of the change that most likely caused it, lines as they are now."""
    follow_up_title: str = ""
    """Title of the ticket that would make this right."""
    follow_up_body: str = ""
    """Its text."""


class EvidenceResult(Evidence):
    """A piece of evidence with what its query gives when code asks it, or why it gives nothing."""

    result: str = ""


class TimelineEntry(BaseModel):
    """Something the record has: when, in UTC as ISO 8601, and what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: str
    what: str


class Incident(IncidentDraft, Artifact):
    """The agent's reading, bound to the release and the report it is about, with what code adds to it.

    Attributes:
        release: Digest of what was released.
        health_report: Digest of what was measured.
        evidence: The agent's, each with what its query gives.
        record: What happened, from the ledger and the measurements.
        suspicion: Whether the suspected hunk is in the change; empty where none is suspected.
        suspected_lines: The hunk itself.
    """

    kind: ClassVar[str] = "incident"
    release: str
    health_report: str
    evidence: tuple[EvidenceResult | str, ...] = ()  # pyright: ignore[reportIncompatibleVariableOverride]  # frozen
    record: tuple[TimelineEntry, ...] = ()
    suspicion: Literal["", "in the change", "not in the change"] = ""
    suspected_lines: str = ""

    def markdown(self) -> str:
        """The incident as people read it."""
        return (
            f"## Incident\n\n{self.summary}\n"
            + bullets("What is on record", tuple(f"{moment.at[11:19]} {moment.what}" for moment in self.record))
            + bullets("Timeline, as the agent tells it", self.timeline)
            + _evidence(self.evidence)
            + self._suspected()
            + (f"\n### Follow-up: {self.follow_up_title}\n\n{self.follow_up_body}\n" if self.follow_up_title else "")
        )

    def _suspected(self) -> str:
        if not self.suspected_hunk:
            return ""
        suspicion = f" ({self.suspicion})" if self.suspicion else ""
        return f"\n### Suspected: `{self.suspected_hunk}`{suspicion}\n{_block(self.suspected_lines)}"


AGENT = StageAgent("monitoring", IncidentDraft, ASKING)


def brief(change: ChangeSet, report: HealthReport, *, diff: str, log: str, record: Sequence[TimelineEntry] = ()) -> str:
    """Write the brief of one attempt.

    Args:
        change: The released change.
        report: The measurements and the verdict code computed from them.
        diff: The change, as a unified diff.
        log: The last lines the service wrote.
        record: The timeline, as it will stand in the incident.
    """
    return (
        section("health_report", report.markdown())
        + section("record", "\n".join(f"{moment.at} {moment.what}" for moment in record) or "(empty)")
        + section("change", change.markdown())
        + section("diff", diff)
        + section("service_log", log or "(empty)")
    )


def _evidence(evidence: Sequence[EvidenceResult | str]) -> str:
    if not evidence:
        return ""
    return "\n### Evidence\n\n" + "".join(
        f"- {item}\n" if isinstance(item, str) else f"- {item.statement}\n{_block(item.query)}{_block(item.result)}"
        for item in evidence
    )


def _block(text: str) -> str:
    """Text as an indented block that nothing in it can end. An empty text stays empty."""
    return "\n" + "".join(f"      {line}\n" for line in text.splitlines()) + "\n" if text else ""
