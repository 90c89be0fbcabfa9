"""P4: an approval without a digest is of what its person was shown, in this round."""

from __future__ import annotations

import pytest
from tests.acceptance.cli.conftest import Answer, CliHarness

from phasegate.infra.ledger import Gate, Run


@pytest.fixture
def unseen(scene: CliHarness, woken: list[str]) -> tuple[Run, Gate]:
    """A run at its first gate, whose page nobody has had."""
    run, gate = scene.at_prd_gate()
    scene.ledger.gates.mark_stale(gate, "another round")
    prd = scene.ledger.attempts.list(run.id)[-1].artifact
    assert prd is not None
    scene.ledger.runs.set_status(run.id, "running")
    return run, scene.ledger.gates.open(run, "prd", 2, subject={"prd": prd, "policy": run.policy})


def is_decided(scene: CliHarness, run: Run) -> bool:
    """True if there is any decision on the run's gates."""
    return bool(scene.ledger.gates.decisions(run.id))


def test_an_approval_of_what_nobody_has_shown_prints_it_and_decides_nothing(scene, phasegate, unseen):
    """Mutation tried: `require_shown` empty; the page of an earlier round counts."""
    run, gate = unseen
    first: Answer = phasegate("approve", run.id)
    assert (first.code, is_decided(scene, run)) == (2, False)
    assert "nothing is approved yet" in first.err
    assert "Links that expire" in first.out
    again = phasegate("approve", run.id)
    assert (again.code, scene.ledger.gates.get(gate.id).status) == (0, "approved")


def test_a_program_is_told_to_read_first(scene, phasegate, unseen):
    run, gate = unseen
    for _ in range(2):
        refused = phasegate("approve", run.id, "--json")
        assert (refused.code, refused.json["error"]["code"], is_decided(scene, run)) == (2, "usage", False)
    assert phasegate("approve", run.id, "--json", "--subject", gate.subject_digest).code == 0


@pytest.mark.parametrize("words", [("show",), ("show", "--json")])
def test_what_was_shown_may_be_approved(scene, phasegate, unseen, words):
    run, gate = unseen
    assert phasegate(*words, run.id).code == 0
    assert phasegate("approve", run.id).code == 0
    shown = [event for event in scene.ledger.events(run.id) if event.kind == "gate.shown"]
    assert [event.payload["gate"] for event in shown].count(gate.id) == 1


def test_a_digest_names_what_is_approved(scene, phasegate, unseen):
    """Mutation tried: `_require_same` empty."""
    run, gate = unseen
    for wrong in ("sha256:" + "0" * 64, "0" * 12, gate.subject_digest[:15], "sha256:", gate.subject["prd"]):
        refused = phasegate("approve", run.id, "--subject", wrong)
        assert (refused.code, is_decided(scene, run)) == (2, False), wrong
    assert phasegate("approve", run.id, "--subject", gate.subject_digest[:19]).code == 0


@pytest.mark.parametrize("verdict", ["revise", "reject"])
def test_a_no_needs_no_page(scene, phasegate, unseen, verdict):
    run, _ = unseen
    assert phasegate(verdict, run.id, "--note", "no").code == 0


def test_a_page_that_somebody_else_had_counts_for_them_alone(scene, phasegate, unseen):
    """Mutation tried: `was_shown` without its person."""
    run, gate = unseen
    scene.ledger.gates.record_shown(gate, "somebody-else")
    assert phasegate("approve", run.id).code == 2
