"""A run in a ledger of the test's own: what tests of gates, attempts and trails begin with.

Called by fixtures, which say only what matters to them. Knows nothing of who carries runs.
"""

from __future__ import annotations

from typing import Any, ClassVar

from phasegate.infra.artifacts import Artifact
from phasegate.infra.ledger import Ledger, Run, RunOptions


class Thing(Artifact):
    """An artifact of no particular kind."""

    kind: ClassVar[str] = "thing"
    name: str


def accepted(ledger: Ledger, run_id: str = "run-one", **changes: Any) -> Run:
    """Accept a run that Ana asked for; what `Runs.accept` takes may be given otherwise."""
    asked: dict[str, Any] = {
        "title": "A title",
        "ticket": Thing(name="ticket"),
        "policy": Thing(name="policy"),
        "repository": "/somewhere",
        "base_branch": "main",
        "base_commit": "abc",
        "requester": "ana",
        "options": RunOptions(),
        "definition": "1",
        **changes,
    }
    return ledger.runs.accept(run_id, **asked)
