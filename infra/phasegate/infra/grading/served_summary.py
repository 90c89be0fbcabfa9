"""Summary of what base and candidate answer when they are served, as the evidence and the gate page show it.

Made by `served_check`. It must not know how a service is started.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from phasegate.infra.workspace.change_set import code

_SHOWN = 20


class AnswerDifference(BaseModel):
    """A request that is answered differently."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: str
    """Method and path."""
    before: str
    """Answer of base, or of the application in the test's process, in a few words."""
    after: str
    """Answer of the served candidate."""
    criteria: tuple[str, ...] = ()
    """Criteria whose sealed test sends it; none: the PRD does not ask for the difference."""


class ServedSummary(BaseModel):
    """Service of one grade, started as `[deploy] start` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests: int = 0
    """Requests that were sent to the candidate."""
    from_sealed: int = 0
    """Requests of these that sealed tests send."""
    not_sent: int = 0
    """Requests that were not sent, since the candidate had left too many without an answer, or time was up."""
    recorded: bool = False
    """True if they were recorded while tests ran; else they were read off the tests' text."""
    omitted: str = ""
    """Reason why the candidate was not asked."""
    base_omitted: str = ""
    """Reason why there is no comparison with base."""
    differences: tuple[AnswerDifference, ...] = ()
    """Answers of candidate and base that differ."""
    beside_tests: tuple[AnswerDifference, ...] = ()
    """Answers that sealed tests got in their own process, and the served candidate gives otherwise."""

    @property
    def not_asked_for(self) -> tuple[AnswerDifference, ...]:
        """Differences to base that no sealed test asks for."""
        return tuple(difference for difference in self.differences if not difference.criteria)

    def markdown_lines(self) -> list[str]:
        """The section of a gate page."""
        if self.omitted:
            return ["", f"**The served candidate was not asked:** {self.omitted}."]
        counts = f"{self.requests} request{'' if self.requests == 1 else 's'}, {self.from_sealed} of sealed tests"
        lines = ["", f"**Asked when served, as `[deploy] start` says:** {counts}."]
        if self.not_sent:
            lines += ["", f"Not sent, since the candidate left others without an answer in time: {self.not_sent}."]
        if self.base_omitted:
            lines += ["", f"Base was not asked: {self.base_omitted}."]
        asked_for = [difference for difference in self.differences if difference.criteria]
        lines += _section("Served answers that differ from base, and the PRD does not ask for it", self.not_asked_for)
        lines += _section("Served answers that differ from base as sealed tests ask", asked_for)
        heading = "Served otherwise than in the sealed tests' own process, where tests may set up what they like"
        return lines + _section(heading, self.beside_tests)


def _section(heading: str, differences: Sequence[AnswerDifference]) -> list[str]:
    if not differences:
        return []
    lines = ["", f"**{heading}:**", ""]
    for difference in differences[:_SHOWN]:
        why = f" ({', '.join(difference.criteria)})" if difference.criteria else ""
        lines.append(f"- {code(difference.request)}{why}: {code(difference.before)} → {code(difference.after)}")
    return lines + ([f"- … and {len(differences) - _SHOWN} more"] if len(differences) > _SHOWN else [])
