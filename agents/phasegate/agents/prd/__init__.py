"""The prd agent: reads the repository, and turns a ticket into criteria that others can build and test by."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from pydantic import Field, field_validator

from phasegate.agents.stage import Draft, StageAgent, bullets, section
from phasegate.agents.tools.tool_sets import READING
from phasegate.infra.artifacts import Artifact
from phasegate.infra.policy.base import UrlPath
from phasegate.infra.policy.conditions import PROBE_VALUES, parse_condition
from phasegate.infra.policy.monitor import MetricPolicy
from phasegate.infra.tickets.ticket import Ticket


class Criterion(Draft):
    """Something that must be true of the finished change, and can be tested."""

    id: str = Field(min_length=1, max_length=20)
    """`AC1`, `AC2`, …"""
    statement: str = Field(min_length=1)
    """What is observed, with concrete inputs and outputs."""


class ServiceLevel(Draft):
    """A level that GET requests to one path can measure once it is released."""

    statement: str = Field(min_length=1)
    """The level in words."""
    path: UrlPath
    """What is requested."""
    condition: str
    """What must hold of error_rate (0 to 1), p50_ms, p95_ms, p99_ms and max_ms, e.g. `p95_ms < 200`."""

    @field_validator("condition")
    @classmethod
    def _is_condition(cls, condition: str) -> str:
        parse_condition(condition, PROBE_VALUES)
        return condition

    def metric(self, number: int) -> MetricPolicy:
        """The level as it is measured: as policy's own metrics are where they say nothing else."""
        return MetricPolicy(
            name=f"service level {number}",
            path=self.path,
            interval=timedelta(seconds=1),
            success_condition=self.condition,
            failure_limit=1,  # one slow measurement may be the machine's
        )

    def __str__(self) -> str:
        """The level as people read it."""
        return f"{self.statement} (measured: GET `{self.path}`, {self.condition})"


class PrdDraft(Draft):
    """The product requirements of one ticket."""

    title: str = Field(min_length=1)
    """One line."""
    summary: str = ""
    """What changes for whom, in a few sentences."""
    acceptance_criteria: tuple[Criterion, ...] = Field(min_length=1)
    """What must be true, each testable on its own."""
    new_behaviour: bool = True
    """False where nothing is to behave otherwise: a refactoring, a dependency, documentation, tests or CI alone."""
    service_levels: tuple[ServiceLevel | str, ...] = ()
    """What must hold once it runs; a plain text where requests cannot measure it."""
    non_goals: tuple[str, ...] = ()
    """What is left alone."""
    risks: tuple[str, ...] = ()
    """What could go wrong."""
    open_questions: tuple[str, ...] = ()
    """What the approver should settle."""

    @field_validator("acceptance_criteria")
    @classmethod
    def _distinct(cls, criteria: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
        if len({criterion.id for criterion in criteria}) != len(criteria):
            raise ValueError("two acceptance criteria have the same id")
        return criteria


class Prd(PrdDraft, Artifact):
    """The product requirements as handed in; what gate `prd` asks about."""

    kind: ClassVar[str] = "prd"

    def markdown(self) -> str:
        """The PRD as a person reads it at the gate."""
        criteria = tuple(f"**{criterion.id}** {criterion.statement}" for criterion in self.acceptance_criteria)
        return (
            f"## {self.title}\n\n{self.summary}\n"
            + (
                ""
                if self.new_behaviour
                else "\n**No new behaviour**: what passes today still passes, and that is the proof.\n"
            )
            + bullets("Acceptance criteria", criteria)
            + bullets("Service levels", tuple(map(_level, self.service_levels)))
            + bullets("Non-goals", self.non_goals)
            + bullets("Risks", self.risks)
            + bullets("Open questions", self.open_questions)
        )


def _level(level: ServiceLevel | str) -> str:
    return str(level) if isinstance(level, ServiceLevel) else f"{level} (not measured)"


AGENT = StageAgent("prd", PrdDraft, READING, asks=True)


def brief(ticket: Ticket, *, previous: Prd | None = None, note: str = "", conventions: str = "") -> str:
    """Write the brief of one attempt, from the ticket and the note on the previous PRD.

    Args:
        ticket: The ticket of the run.
        previous: The PRD that was sent back, if any.
        note: The note of the approver who sent it back.
        conventions: The repository's conventions, as `phasegate.agents.conventions` quotes them.
    """
    text = section("ticket", f"# {ticket.title}\n\n{ticket.body}") + conventions
    if previous is not None:
        text += section("previous_prd", previous.markdown())
        text += section("reviewer_note", note or "(no note was given)")
        text += "The reviewer sent the previous PRD back. Write it anew so that it meets the note.\n"
    return text
