"""Narration of the demo: explains each step in plain words when the step begins."""

from __future__ import annotations

from collections.abc import Mapping

import click

from phasegate.flows.cli.views.event_text import describe
from phasegate.infra.ledger import Event, Ledger, Run
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.events.catalogue import payload_of

STEPS: Mapping[str, str] = {
    "prd": "An agent that can only read turns the ticket into a PRD with numbered acceptance criteria.",
    "implementation": "An agent changes the code: in a worktree of its own, in a sandbox without network.",
    "testing.authoring": "Beside it another agent, which sees the PRD but not the change, writes the tests that "
    "decide. They are sealed.",
    "testing.amending": "The implementer asks to amend existing tests. The author of the sealed tests decides, told "
    "nothing but their ids.",
    "testing.characterization": "The project's own tests are thin here: the author of the sealed tests also pins what "
    "the code does today. Code has tried these tests on base.",
    "testing.grading": "Code, no agent, grades the change on clean checkouts: the sealed tests must fail before it and "
    "pass after it.",
    "deployment.plan": "An agent drafts the release plan from the evidence and from what serves now.",
    "deployment.candidate": "Code carries the plan out: the new release comes up beside the one that serves.",
    "deployment.analysis": "The candidate is measured on its share of the traffic. Code computes the verdict.",
    "deployment.release": "Code carries the plan out: the new release comes up beside the one that serves, then takes "
    "over.",
    "monitoring.measuring": "The new release is measured against its service level. Code computes the verdict.",
    "monitoring.reading": "An agent reads the measurements and drafts the incident, for whoever writes the next "
    "ticket.",
}
"""Stage, with its part where it has several, to what happens there."""

GATES: Mapping[str, str] = {
    "prd": "Is this what should be built?",
    "change": "Does this change go into the main branch?",
    "release": "Does this go to where people use it?",
    "promotion": "The measurements do not decide. Does the release stay?",
}
"""Gate to the question it asks a person."""

AGAIN = "The grade failed. It goes back to the implementer with the failing criteria, not with the sealed tests."
UNDOING = "Every effect of this run is undone, newest first; how was written down before it was made."


class Narrator:
    """Follows a run for a person who sees phasegate for the first time."""

    def __init__(self, ledger: Ledger) -> None:
        """Start with nothing explained; each step is explained once."""
        self._ledger = ledger
        self._explained: set[str] = set()

    def see(self, run: Run, news: list[Event]) -> None:
        """Explain each new kind of step, then print the events."""
        for event in news:
            self._explain(event)
            line = describe(event, self._ledger)
            if not line.detail:
                click.echo(f"    {line}")

    def _explain(self, event: Event) -> None:
        if event.kind == EventKind.EFFECT_UNDONE:
            self._once("undoing", UNDOING)
        elif event.kind == EventKind.ATTEMPT_STARTED:
            _, step, number = AttemptId.parse(payload_of(event, payloads.AttemptStarted)["attempt"])
            self._once(step, STEPS.get(step, ""))
            if step == "implementation" and number > 1:
                self._once("again", AGAIN)

    def _once(self, step: str, words: str) -> None:
        if words and step not in self._explained:
            self._explained.add(step)
            click.echo(f"\n  {words}")
