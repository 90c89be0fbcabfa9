"""The monitoring agent: explains a breach after code has dealt with it. It computes no verdict."""

from __future__ import annotations

from typing import ClassVar

from phasegate.agents.stage import Draft, StageAgent, bullets, section
from phasegate.agents.tools.toolbox import READING
from phasegate.infra.artifacts import Artifact
from phasegate.infra.metrics.report import HealthReport
from phasegate.infra.workspace import ChangeSet


class IncidentDraft(Draft):
    """What happened, and what should be done about it."""

    summary: str = ""
    """What users saw and the most likely cause."""
    timeline: tuple[str, ...] = ()
    """Released, measured, breached, rolled back."""
    evidence: tuple[str, ...] = ()
    """Figures and log lines that bear on the cause."""
    suspected_hunk: str = ""
    """File and lines of the change that most likely caused it."""
    follow_up_title: str = ""
    """Title of the ticket that would make this right."""
    follow_up_body: str = ""
    """Its text."""


class Incident(IncidentDraft, Artifact):
    """The agent's reading, bound to the release and the report it is about."""

    kind: ClassVar[str] = "incident"
    release: str
    health_report: str

    def markdown(self) -> str:
        """The incident as people read it."""
        follow_up = (
            f"\n### Follow-up: {self.follow_up_title}\n\n{self.follow_up_body}\n" if self.follow_up_title else ""
        )
        suspected = f"\nSuspected: `{self.suspected_hunk}`\n" if self.suspected_hunk else ""
        return (
            f"## Incident\n\n{self.summary}\n{suspected}"
            + bullets("Timeline", self.timeline)
            + bullets("Evidence", self.evidence)
            + follow_up
        )


AGENT = StageAgent("monitoring", IncidentDraft, READING)


def brief(change: ChangeSet, report: HealthReport, *, diff: str, log: str) -> str:
    """What the reading is about.

    Args:
        change: What was released.
        report: The measurements and the verdict code computed from them.
        diff: The change, as a unified diff.
        log: The last lines the service wrote.
    """
    return (
        section("health_report", report.markdown())
        + section("change", change.markdown())
        + section("diff", diff)
        + section("service_log", log or "(empty)")
    )
