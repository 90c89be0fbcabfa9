"""The testing agent: writes the tests that decide, from the PRD and the base commit alone."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from phasegate.agents.prd import Prd
from phasegate.agents.stage import Draft, StageAgent, section
from phasegate.agents.tools.tool_sets import READING
from phasegate.infra.grading.amendments import Amendment
from phasegate.infra.grading.characterization import CharacterizationFile
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.workspace.change_set import AmendmentRequest


class TestsDraft(Draft):
    """The acceptance tests."""

    __test__ = False  # pytest would take it for a test class

    files: tuple[SealedFile, ...] = Field(min_length=1)
    """The test files, none of which exists yet."""
    amends: tuple[Amendment, ...] = ()
    """Existing tests that the PRD makes obsolete, one by one; empty where it makes none obsolete."""


class AmendmentsDraft(Draft):
    """The existing tests, of those asked for, that the PRD makes obsolete."""

    amends: tuple[Amendment, ...] = ()
    """Those of the tests asked for that the PRD makes obsolete; empty where it makes none of them obsolete."""


class CharacterizationDraft(Draft):
    """Tests that pin what the code does today, where the project's own are thin."""

    files: tuple[CharacterizationFile, ...] = ()
    """The test files, none of which exists yet; each passes on the code as it is now."""
    omitted: str = ""
    """Reason why there are none; empty where there are files."""


AGENT = StageAgent("testing", TestsDraft, READING)
AMENDING_AGENT = StageAgent("testing", AmendmentsDraft, READING, instructions="amending.md")
"""The same agent once the tests are sealed: it decides on amendments that an implementer asks for."""
CHARACTERIZATION_AGENT = StageAgent("testing", CharacterizationDraft, READING, instructions="characterization.md")
"""The same agent where the project's own tests are thin: it pins what the PRD leaves alone."""


def brief(prd: Prd, *, test_command: str, conventions: str = "") -> str:
    """Write the brief of one attempt.

    Args:
        prd: What must become true.
        test_command: How the project's tests are run.
        conventions: What the repository says about working in it, as `phasegate.agents.conventions` quotes it.
    """
    return section("prd", prd.markdown()) + section("project", f"Tests: {test_command}") + conventions


def amending_brief(
    prd: Prd, sealed: SealedTests, requests: Sequence[AmendmentRequest], *, test_command: str, conventions: str = ""
) -> str:
    """Write the brief of an attempt that decides on requests, without the change and the implementer's words.

    Args:
        prd: What must become true.
        sealed: The tests and amendments that are sealed already.
        requests: The requests, each by its ids.
        test_command: How the project's tests are run.
        conventions: As for `brief`.
    """
    text = section("prd", prd.markdown()) + section("project", f"Tests: {test_command}") + conventions
    for file in sealed.files:
        text += section("sealed_test", f"{file.path} ({', '.join(file.criteria)})\n\n{file.content}")
    amended = [
        f"{amendment.test} by {amendment.criterion}, replaced by {amendment.replacement or 'nothing'}"
        for amendment in sealed.amends
    ]
    text += section("amended_already", "\n".join(amended)) if amended else ""
    return text + section("asked_for", "\n".join(f"{request.test} by {request.criterion}" for request in requests))


def characterization_brief(
    prd: Prd, *, reason: str, places: Sequence[str], test_command: str, conventions: str = ""
) -> str:
    """Write the brief of an attempt that pins what base does.

    Args:
        prd: What is to change, and so must not be pinned.
        reason: Reason why base's own tests do not suffice.
        places: Code that the PRD is about.
        test_command: How the project's tests are run.
        conventions: As for `brief`.
    """
    text = section("prd", prd.markdown()) + section("project", f"Tests: {test_command}") + conventions
    return text + section("thin_tests", "\n".join([reason, "Code that the PRD is about:", *places]))
