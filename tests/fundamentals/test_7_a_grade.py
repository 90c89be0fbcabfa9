"""Read this seventh: a grade, the evidence on which a person approves a change.

Nobody grades their own work. Another agent, which sees the PRD and not the change, writes sealed tests for the
criteria. They must fail before the change and pass with it, and what passed before must pass still. Code runs the
tests and counts; no model judges. Before that, whatever the change did to tests and to what runs them is undone,
and reported. The implementer learns which criterion failed, but never sees a sealed test.
A grade is made by `infra/phasegate/infra/grading/grade.py`; the artifact that a person reads is in `evidence.py` there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.greeter import NO_ERRORS, POLICY, RUNNER, SEALED, write_greeter
from tests.support.repositories import git

from phasegate.agents.prd import Criterion
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.grading.grade import grade
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.policy.load import load_policy
from phasegate.infra.sandbox import open_sandbox
from phasegate.infra.workspace import Repository, Workspace

SAYS_GOOD_DAY = SealedTests.model_validate({"files": [SEALED]})
"""Sealed test of criterion AC1: `greeting.txt` says Good day."""
ALWAYS_TRUE = SealedTests.model_validate({"files": [{**SEALED, "content": "true\n"}]})
"""Sealed test that holds whatever the change does."""
CRITERION = Criterion(id="AC1", statement="it says Good day")
OWN_TEST = "tests::plain"
"""The greeter's own test: the greeting is not empty."""


@dataclass
class Grader:
    """Repository of the greeter, and grades of changes to it."""

    repository: Repository
    folder: Path
    changes: int = 0

    async def grade(self, files: dict[str, str | None], sealed: SealedTests = SAYS_GOOD_DAY) -> Evidence:
        """Grade a change that an agent would have made; a file without text is one that it deleted."""
        self.changes += 1
        base = self.repository.base().commit
        workspace = Workspace.create(self.repository, f"run-{self.changes}", base, self.folder / f"work-{self.changes}")
        for name, text in files.items():
            if text is None:
                (workspace.folder / name).unlink()
            else:
                (workspace.folder / name).write_text(text)
        policy = load_policy((POLICY + NO_ERRORS).encode(), source="phasegate.toml")
        return await grade(
            repository=self.repository,
            change=workspace.collect(base, (), "A change"),
            sealed=sealed,
            criteria=[CRITERION],
            policy=policy,
            sandbox=open_sandbox(policy.sandbox, self.folder / "state"),
            scratch=self.folder / "grading",
            on_step=lambda _: None,
        )


@pytest.fixture
def grader(tmp_path: Path) -> Grader:
    """A committed repository and a folder for checkouts."""
    return Grader(Repository.open(write_greeter(tmp_path)), tmp_path)


async def test_a_change_that_does_what_was_asked_and_breaks_nothing_passes(grader: Grader) -> None:
    """A person sees what the verdict is made of: each criterion, and how many tests passed before and after."""
    evidence = await grader.grade({"greeting.txt": "Good day\n"})
    assert evidence.verdict == "passed", evidence.markdown()
    assert [(one.id, one.status) for one in evidence.criteria] == [("AC1", "passed")]
    assert (evidence.counts.project_passed_on_base, evidence.counts.project_still_passing) == (1, 1)
    assert (evidence.counts.sealed, evidence.counts.sealed_passed) == (1, 1)


async def test_a_change_that_does_not_do_what_was_asked_fails(grader: Grader) -> None:
    """However the agent praises it: only the sealed test counts."""
    evidence = await grader.grade({"greeting.txt": "Hello, and have a nice day\n"})
    assert evidence.verdict == "failed"
    assert [(one.id, one.status) for one in evidence.criteria] == [("AC1", "failed")]


async def test_the_implementer_learns_what_is_missing_but_not_how_it_is_tested(grader: Grader) -> None:
    """An agent that knew the sealed test could satisfy the test instead of the criterion."""
    evidence = await grader.grade({"greeting.txt": "Hello, and have a nice day\n"})
    assert "AC1" in evidence.failing()
    assert CRITERION.statement in evidence.failing()
    assert "grep" not in evidence.failing()


async def test_a_change_that_breaks_what_worked_fails(grader: Grader) -> None:
    """The criterion is met and the price is a test that passed before: no team wants that unasked."""
    sealed = SealedTests.model_validate({"files": [{**SEALED, "content": 'grep -q "Good day" polite.txt\n'}]})
    evidence = await grader.grade({"greeting.txt": None, "polite.txt": "Good day\n"}, sealed)
    assert evidence.verdict == "failed"
    assert [one.status for one in evidence.criteria] == ["passed"]
    assert [one.test for one in evidence.regressions] == [OWN_TEST]


async def test_a_test_that_the_change_weakened_is_put_back_and_reported(grader: Grader) -> None:
    """An agent under pressure edits the test that fails: the grade is made with the test as it was."""
    sealed = SealedTests.model_validate({"files": [{**SEALED, "content": "test ! -s greeting.txt\n"}]})
    evidence = await grader.grade({"greeting.txt": "", "tests/plain.sh": "true\n"}, sealed)
    assert evidence.verdict == "failed"
    assert [one.test for one in evidence.regressions] == [OWN_TEST]
    assert ("test-file-touched", "tests/plain.sh") in [(one.code, one.path) for one in evidence.findings]


async def test_a_runner_that_the_change_made_to_say_passed_is_not_used(grader: Grader) -> None:
    """The command of the policy runs a script of the repository, which the change can edit as well."""
    forged = RUNNER.replace('if sh "$file"', "if true")
    assert forged != RUNNER
    evidence = await grader.grade({"run-tests.sh": forged, "greeting.txt": "Hello again\n"})
    assert evidence.verdict == "failed"
    assert "run-tests.sh" in [one.path for one in evidence.findings]


async def test_a_sealed_test_that_passed_before_the_change_proves_nothing(grader: Grader) -> None:
    """Such a test would pass for an empty change, too. The verdict says so, and leaves the decision to a person."""
    evidence = await grader.grade({"greeting.txt": "Good day\n"}, ALWAYS_TRUE)
    assert evidence.verdict == "unproven"
    assert [(one.id, one.status) for one in evidence.criteria] == [("AC1", "vacuous")]


async def test_the_same_change_has_the_same_grade(grader: Grader) -> None:
    """An approval names the digest of the evidence: graded again after a crash, it must be the same."""
    first = await grader.grade({"greeting.txt": "Hello\nthere\n"})
    second = await grader.grade({"greeting.txt": "Hello\nthere\n"})
    assert first.model_copy(update={"change": second.change}).digest == second.digest


async def test_a_grade_leaves_the_users_files_alone(grader: Grader) -> None:
    """Grading checks out and runs two versions of the project while a person works in it."""
    (grader.repository.top / "greeting.txt").write_text("Hello, half typed\n")
    await grader.grade({"greeting.txt": "Good day\n"})
    assert git(grader.repository.top, "status", "--porcelain") == "M greeting.txt"
    assert (grader.repository.top / "greeting.txt").read_text() == "Hello, half typed\n"
