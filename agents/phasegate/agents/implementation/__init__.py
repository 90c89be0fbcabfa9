"""The implementation agent: changes the code in a worktree of its own until it believes the PRD is met."""

from __future__ import annotations

from pydantic import Field

from phasegate.agents.prd import Prd
from phasegate.agents.stage import Draft, StageAgent, section
from phasegate.agents.tools.tool_sets import WRITING
from phasegate.infra.workspace.change_set import AmendmentRequest


class ChangeDraft(Draft):
    """What was changed, for the reviewer."""

    summary: str = Field(min_length=1)
    """What the change does and how, in a few sentences."""
    notes: str = ""
    """What is left undone, or risky."""
    asks_to_amend: tuple[AmendmentRequest, ...] = Field(default=(), max_length=50)
    """Existing tests that no correct implementation of the PRD can pass, each with the criterion it contradicts."""


AGENT = StageAgent("implementation", ChangeDraft, WRITING, asks=True)


def brief(
    prd: Prd,
    *,
    test_command: str,
    protected: tuple[str, ...],
    feedback: str = "",
    note: str = "",
    conventions: str = "",
) -> str:
    """Write the brief of one attempt.

    Args:
        prd: The requirements.
        test_command: The command that runs the project's tests.
        protected: Patterns of files that may not be changed.
        feedback: The reasons why grading failed the previous attempt; empty for a first attempt.
        note: The approver's note, if the change was sent back.
        conventions: The repository's conventions, as `phasegate.agents.conventions` quotes them.
    """
    text = section("prd", prd.markdown())
    text += (
        section("project", f"Tests: {test_command}\nProtected files: {', '.join(protected) or 'none'}") + conventions
    )
    if feedback:
        text += section("failed_grade", feedback)
        text += "Your change so far is in the worktree, and failed its grading as told above. Mend it.\n"
    if note:
        text += section("reviewer_note", note)
        text += "Your change so far is in the worktree. The reviewer sent it back with the note above. Meet it.\n"
    return text
