"""Decisions and requests are in the ledger before the engine is told; here an engine that only listens stands in."""

from __future__ import annotations

import threading
import time

import pytest
from tests.ledgers import policy_with

from phasegate.flows.engine import control
from phasegate.infra.errors import EngineUnavailable
from phasegate.infra.identity import Person
from phasegate.infra.ledger import RunOptions

ANA = Person("ana", "local")


@pytest.mark.parametrize(
    ("verdict", "said", "status"),
    [("approve", "Approved", "approved"), ("revise", "Sent back", "revised"), ("reject", "Rejected", "rejected")],
)
def test_a_decision_is_recorded_and_the_engine_woken(scene, phasegate, woken, verdict, said, status):
    run, gate = scene.at_prd_gate()
    answer = phasegate(verdict, "latest", "--note", "as agreed")
    assert answer.code == 0
    assert f"{said}: gate prd of run {run.id}, about " in answer.out
    assert f"prd {gate.subject['prd'][:19]}" in answer.out
    assert [run.id] == woken
    assert status == scene.ledger.gates.get(gate.id).status
    (decision,) = scene.ledger.gates.decisions(run.id)
    assert (verdict, "as agreed", gate.subject_digest) == (decision.verdict, decision.note, decision.subject_digest)


def test_a_decision_as_json(scene, phasegate, woken):
    run, gate = scene.at_prd_gate()
    answer = phasegate("approve", run.id[:5], "prd", "--json")
    assert (gate.id, "approve") == (answer.json["gate"]["id"], answer.json["decision"]["verdict"])
    assert "Approved" in answer.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("approve", "latest", "release"), "usage", "does not wait at gate release, but at prd"),
        (("approve", "nowhere"), "not-found", "there is no run nowhere"),
        (("revise", "latest"), "usage", "say what should be different"),
        (("approve",), "usage", "Missing argument 'RUN'"),
        (("approve", "latest", "--loudly"), "usage", "No such option"),
        (("fly",), "usage", "No such command 'fly'"),
        (("rollback", "latest", "--wait", "extra"), "usage", "unexpected extra argument"),
        (("schema", "Poem"), "usage", "there is no schema 'Poem'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_is_one_message_and_exit_code_2(scene, phasegate, woken, words, code, said):
    run, _ = scene.at_prd_gate()
    answer = phasegate(*words)
    assert answer.code == 2
    assert said in answer.err
    assert answer.out == ""
    assert "Traceback" not in answer.err
    as_json = phasegate(*words, "--json")
    assert (2, code) == (as_json.code, as_json.json["error"]["code"])
    assert woken == []
    assert scene.status_of(run) == "waiting"


def test_nobody_decides_where_nothing_is_asked(scene, phasegate, woken):
    run = scene.accept()
    answer = phasegate("approve", run.id)
    assert answer.code == 2
    assert f"run {run.id} is accepted and does not wait at a gate" in answer.err


def test_a_round_that_was_given_up_says_why(scene, phasegate, woken):
    run, gate = scene.at_prd_gate()
    scene.ledger.gates.mark_stale(gate, "Somebody changed the live Deployment.")
    answer = phasegate("approve", run.id)
    assert answer.code == 2
    assert f"gate prd of run {run.id} was closed: Somebody changed the live Deployment." in answer.err
    assert f"phasegate watch {run.id}" in answer.err
    assert scene.status_of(run) == "running"


def test_an_approval_short_of_the_quorum_leaves_the_gate_open(scene, phasegate, woken):
    run, gate = scene.at_prd_gate(policy=policy_with(quorum=2).policy)
    assert "needs 2 approvals" in phasegate("approve", run.id).out
    assert scene.ledger.gates.get(gate.id).status == "open"


@pytest.mark.parametrize(
    ("wish", "before", "recorded"),
    [("pause", "running", "pause"), ("cancel", "running", "cancel"), ("rollback", "done", "rollback")],
)
def test_a_request_is_recorded_and_the_engine_woken(scene, phasegate, woken, wish, before, recorded):
    run = scene.accept()
    scene.ledger.runs.set_status(run.id, before)
    assert phasegate(wish, run.id).code == 0
    assert (recorded, [run.id]) == (scene.ledger.runs.get(run.id).request, woken)


def test_a_stopped_run_is_resumed(scene, phasegate, woken):
    run = scene.accept()
    scene.ledger.runs.set_status(run.id, "needs-operator")
    assert phasegate("resume", run.id, "--json").json["status"] == "running"
    assert phasegate("resume", run.id).code == 2


def test_without_an_engine_the_decision_stands_all_the_same(scene, phasegate, monkeypatch):
    def refuse(*_, **__):
        raise EngineUnavailable("The engine ended while it was starting.", remedy="Read its log.")

    monkeypatch.setattr(control, "start", refuse)
    run, gate = scene.at_prd_gate()
    answer = phasegate("approve", run.id)
    assert answer.code == 2
    assert "No engine is up: starting one." in answer.out
    assert f"Run {run.id} is safe in the ledger." in answer.err
    assert scene.ledger.gates.get(gate.id).status == "approved"


def test_wait_follows_to_the_next_stop_and_shows_only_what_is_new(scene, phasegate, woken):
    run, _ = scene.at_prd_gate()

    def play() -> None:
        deadline = time.monotonic() + 20
        while not woken and time.monotonic() < deadline:
            time.sleep(0.01)
        scene.attempt(run, "implementation")
        scene.ledger.runs.set_status(run.id, "failed", reason={"message": "the change does not merge"})

    engine = threading.Thread(target=play)
    engine.start()
    answer = phasegate("approve", run.id, "--wait")
    engine.join()
    assert answer.code == 1
    assert "implementation started" in answer.out
    assert "prd started" not in answer.out
    assert "Failed: the change does not merge" in answer.out


def test_a_gate_approved_in_advance_is_left_to_the_engine(scene, phasegate, woken):
    run, gate = scene.at_prd_gate(options=RunOptions(approve=("prd",)))

    def decide() -> None:
        time.sleep(0.5)  # the engine's moment between opening the gate and deciding it
        scene.ledger.gates.decide(gate.id, "approve", Person(run.requester, "local"), standing=True)
        scene.ledger.runs.set_status(run.id, "done")

    engine = threading.Thread(target=decide)
    engine.start()
    answer = phasegate("watch", run.id)
    engine.join()
    assert answer.code == 0
