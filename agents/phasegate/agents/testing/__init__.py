"""The testing agent: writes the tests that decide, from the PRD and the base commit alone."""

from __future__ import annotations

from pydantic import Field

from phasegate.agents.prd import Prd
from phasegate.agents.stage import Draft, StageAgent, section
from phasegate.agents.tools.toolbox import READING
from phasegate.infra.grading import Amendment, SealedFile


class TestsDraft(Draft):
    """The acceptance tests."""

    __test__ = False  # pytest would take it for a test class

    files: tuple[SealedFile, ...] = Field(min_length=1)
    """The test files, none of which exists yet."""
    amends: tuple[Amendment, ...] = ()
    """Existing tests that the PRD makes obsolete, one by one; empty where it makes none obsolete."""


AGENT = StageAgent("testing", TestsDraft, READING)


def brief(prd: Prd, *, test_command: str, conventions: str = "") -> str:
    """What one attempt is about.

    Args:
        prd: What must become true.
        test_command: How the project's tests are run.
        conventions: What the repository says about working in it, as `phasegate.agents.conventions` quotes it.
    """
    return section("prd", prd.markdown()) + section("project", f"Tests: {test_command}") + conventions
