"""Words of a run that waits for a person or stopped: who may still decide, what is asked, why the grade failed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.acceptance.cli.conftest import Answer, CliHarness
from tests.ledgers import policy_with

from phasegate.infra.grading.evidence import CriterionResult, Evidence
from phasegate.infra.identity import Person, local_person

Call = Callable[..., Answer]
MESSAGE = "assert (200, [{'votes': 1}]) == (200, [])\n  at tests/test_votes.py:12"


def failed_grade(change: str = "0" * 40) -> Evidence:
    criterion = CriterionResult(
        id="AC1", statement="A withdrawn vote counts no more", status="failed", tests=("tests/test_votes.py::test",)
    )
    criterion = criterion.model_copy(update={"message": MESSAGE})
    return Evidence(verdict="failed", change=change, sealed_tests="sha256:0", criteria=(criterion,))


@pytest.mark.parametrize("status", ["needs-operator", "failed"])
def test_the_failed_criteria_are_on_the_page_and_in_the_last_words(
    scene: CliHarness, phasegate: Call, status: str
) -> None:
    """Mutation tried: `_failed_grade` gives nothing; the page then has the number of the criterion alone."""
    run = scene.accept()
    scene.attempt(run, "testing", failed_grade())
    reason = {"code": "operator-needed", "message": "3 attempts failed", "remedy": ""}
    scene.ledger.runs.set_status(run.id, status, reason=reason)  # type: ignore[arg-type]  # a status
    page = " ".join(phasegate("show", run.id).out.split())
    for text in ("AC1: A withdrawn vote counts no more", "assert (200, [{'votes': 1}]) == (200, [])"):
        assert text in page
        assert text in phasegate("watch", run.id).out


def test_the_approvals_that_are_missing_are_everywhere(scene: CliHarness, phasegate: Call, woken: list[str]) -> None:
    """Mutation tried: `approvals_text` gives nothing; no page said who has to approve yet."""
    me = local_person().name
    policy = policy_with(people=[me, "ana", "bo"], quorum=2, exclude_requester=True).policy
    run, gate = scene.at_prd_gate(policy=policy)
    scene.ledger.gates.decide(gate.id, "approve", Person("ana", "local"))
    still = f"1 of 2 approvals (ana). May still decide: bo. {me} asked for the run and may not decide."
    page = phasegate("show", run.id).out
    assert page.count(still) == 2
    assert "waiting at prd (1 of 2 approvals)" in page
    assert still in phasegate("watch", run.id).out
    for listing in ("runs", "status"):
        assert "at prd (1 of 2 approvals)" in " ".join(phasegate(listing).out.split())
        assert phasegate(listing, "--json").out.count('"open_gates": [\n') == 1


def test_a_gate_that_anyone_may_decide_names_nobody(scene: CliHarness, phasegate: Call) -> None:
    run, _ = scene.at_prd_gate()
    assert "approvals" not in phasegate("show", run.id).out
    assert "May decide" not in phasegate("watch", run.id).out


def test_a_question_is_called_so_everywhere(scene: CliHarness, phasegate: Call, woken: list[str]) -> None:
    """Mutation tried: `status` without `pending`; it then said "waiting" alone."""
    run = scene.accept()
    attempt = scene.attempt(run, "implementation")
    scene.ledger.questions.ask(attempt, 1, 0, "Two digits?")
    scene.ledger.runs.set_status(run.id, "waiting")
    for words in (("runs",), ("status",), ("show", run.id)):
        assert "waiting for an answer" in phasegate(*words).out
    assert phasegate("status", "--json").json["runs"][0]["asks"] is True
    answer = phasegate("approve", run.id)
    assert f"run {run.id} waits for an answer, not at a gate" in answer.err
    assert f"phasegate answer {run.id}" in answer.err
    refused = phasegate("replay", run.id).err
    assert "only a run that has stopped is replayed" in refused
    assert "goes on by itself" not in refused


def test_a_second_approval_names_the_first(scene: CliHarness, phasegate: Call, woken: list[str]) -> None:
    """Mutation tried: `_last_decision` gives nothing; the second terminal then heard that no gate is open."""
    run, gate = scene.at_prd_gate()
    scene.ledger.gates.decide(gate.id, "approve", Person("ana", "local"))
    scene.ledger.runs.set_status(run.id, "running")
    for words in (("approve", run.id), ("reject", run.id, "prd")):
        assert f"gate prd of run {run.id} is approved: ana approved it " in phasegate(*words).err
