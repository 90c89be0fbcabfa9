"""Follow-up ticket of an incident, as a file that can be run. Made for both doors."""

from __future__ import annotations

from typing import Any

import yaml

from phasegate.flows.views.report import RunReport
from phasegate.infra.tickets.front_matter import MAX_TITLE

LABEL = "follow-up"


def follow_up(report: RunReport) -> str:
    """Write a Markdown ticket with front matter, or an empty text if the run has no incident that drafts one.

    Its text is the agent's: a person reads it before running it, as any ticket.
    """
    artifact = report.latest("incident")
    content: dict[str, Any] = artifact.content if artifact else {}
    title = " ".join(str(content.get("follow_up_title") or "").split())[:MAX_TITLE]
    if not title:
        return ""
    front_matter = yaml.safe_dump({"title": title, "labels": [LABEL]}, allow_unicode=True, sort_keys=False)
    body = str(content.get("follow_up_body") or "").strip() or str(content.get("summary") or "").strip()
    return f"---\n{front_matter}---\n{body}\n\nDrafted after run {report.id} was taken back.\n"
