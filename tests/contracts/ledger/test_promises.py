"""P2, P3, P4, P5 and P11, as far as the ledger itself keeps them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import inspect
from tests.contracts.ledger.conftest import Desk
from tests.ledgers import Thing

from phasegate.infra.errors import LeaseHeld, NotAllowed, NotFound, UsageError
from phasegate.infra.identity import Person
from phasegate.infra.ledger import Attempt, Lease, Usage
from phasegate.infra.ledger.storage.schema import metadata

ANA, BO = Person("ana", "local"), Person("bo", "local")


def begin(desk: Desk, holder: str = "here/1", **inputs: str) -> tuple[Attempt, Lease | None]:
    return desk.ledger.attempts.begin(
        "run-one", "prd", "", 1, inputs=inputs or {"ticket": "1"}, model="m", prompt="p", holder=holder
    )


def test_the_migrations_make_the_schema(desk: Desk) -> None:
    with desk.ledger._store.engine.connect() as connection:
        found = {
            table: {column["name"] for column in inspect(connection).get_columns(table)} for table in metadata.tables
        }
    assert found == {name: {column.name for column in table.columns} for name, table in metadata.tables.items()}


def test_p2_a_finished_attempt_is_found_and_not_begun_again(desk: Desk) -> None:
    desk.accept()
    attempt, lease = begin(desk)
    assert lease is not None
    desk.ledger.attempts.finish(attempt, lease, Thing(name="prd"))
    again, none = begin(desk, holder="elsewhere/2")
    assert none is None
    assert again.artifact == Thing(name="prd").digest


def test_p2_other_inputs_are_another_attempt_at_the_same_place(desk: Desk) -> None:
    desk.accept()
    attempt, lease = begin(desk)
    assert lease is not None
    desk.ledger.attempts.finish(attempt, lease, Thing(name="prd"))
    again, second = begin(desk, ticket="2")
    assert second is not None
    assert (again.status, again.artifact) == ("running", None)


def test_p3_an_effect_is_intended_once_per_key(desk: Desk) -> None:
    desk.accept()
    first = desk.ledger.effects.intend("run-one", "merge", "run-one/merge", intent={"a": 1}, compensation="revert")
    desk.ledger.effects.done(first, {"commit": "abc"})
    again = desk.ledger.effects.intend("run-one", "merge", "run-one/merge", intent={"a": 2}, compensation="revert")
    assert (again.status, again.intent, again.result) == ("done", {"a": 1}, {"commit": "abc"})


def test_p4_a_decision_counts_for_its_digests_only(desk: Desk) -> None:
    run = desk.accept()
    gate = desk.gate(run)
    desk.ledger.gates.decide(gate.id, "approve", BO)
    decided = desk.ledger.gates.get(gate.id)
    ruling = desk.ledger.gates.effective_decision(decided, {"prd": "sha256:1"})
    assert ruling is not None
    assert ruling.verdict == "approve"
    assert desk.ledger.gates.effective_decision(decided, {"prd": "sha256:2"}) is None


def test_p4_another_subject_voids_the_approval_and_opens_the_gate_anew(desk: Desk) -> None:
    run = desk.accept()
    first = desk.gate(run)
    desk.ledger.gates.decide(first.id, "approve", BO)
    second = desk.gate(run, subject={"prd": "sha256:2"})
    assert desk.ledger.gates.get(first.id).status == "void"
    assert (second.status, desk.ledger.gates.effective_decision(second, {"prd": "sha256:2"})) == ("open", None)


def test_p4_a_decided_gate_takes_no_second_decision(desk: Desk) -> None:
    gate = desk.gate(desk.accept())
    desk.ledger.gates.decide(gate.id, "approve", BO)
    with pytest.raises(NotAllowed, match="is approved, not open"):
        desk.ledger.gates.decide(gate.id, "reject", ANA)


def test_p5_roles_and_the_excluded_requester_are_refused(desk: Desk) -> None:
    gate = desk.gate(desk.accept(requester="ana", people=["ana", "cy"], exclude_requester=True))
    with pytest.raises(NotAllowed, match="excludes the requester"):
        desk.ledger.gates.decide(gate.id, "approve", ANA)
    with pytest.raises(NotAllowed, match="bo may not decide"):
        desk.ledger.gates.decide(gate.id, "approve", BO)
    assert desk.ledger.gates.decide(gate.id, "approve", Person("cy", "local")).status == "approved"


def test_p5_a_quorum_needs_different_people(desk: Desk) -> None:
    gate = desk.gate(desk.accept(quorum=2))
    assert desk.ledger.gates.decide(gate.id, "approve", ANA).status == "open"
    with pytest.raises(NotAllowed, match="ana has decided"):
        desk.ledger.gates.decide(gate.id, "approve", ANA)
    assert desk.ledger.gates.decide(gate.id, "approve", BO).status == "approved"


def test_p5_an_expired_gate_takes_no_decision_and_opens_anew(desk: Desk) -> None:
    run = desk.accept()
    gate = desk.gate(run)
    desk.clock.advance(timedelta(days=2))
    with pytest.raises(NotAllowed, match="expired"):
        desk.ledger.gates.decide(gate.id, "approve", BO)
    assert desk.gate(run).id != gate.id
    assert desk.ledger.gates.get(gate.id).status == "expired"


def test_a_lease_keeps_others_out_until_it_expires(desk: Desk) -> None:
    desk.accept()
    begin(desk, "here/1")
    with pytest.raises(LeaseHeld):
        begin(desk, "elsewhere/2")
    desk.clock.advance(timedelta(minutes=5))
    _, lease = begin(desk, "elsewhere/2")
    assert lease is not None
    assert lease.token == 2


def test_a_fenced_off_holder_can_no_longer_write(desk: Desk) -> None:
    desk.accept()
    attempt, late = begin(desk, "here/1")
    assert late is not None
    desk.clock.advance(timedelta(minutes=5))
    begin(desk, "elsewhere/2")
    with pytest.raises(LeaseHeld, match="fenced"):
        desk.ledger.attempts.finish(attempt, late, Thing(name="late"))
    with pytest.raises(LeaseHeld):
        desk.ledger.attempts.renew(late)
    assert desk.ledger.attempts.get(attempt.id).status == "running"


def test_a_new_engine_breaks_the_leases_of_the_one_before_it_on_this_machine(desk: Desk) -> None:
    desk.accept()
    begin(desk, "here/1")
    desk.ledger.leases.expire_previous("here/2")
    _, lease = begin(desk, "here/2")
    assert lease is not None


def test_p11_a_message_is_delivered_once_and_the_same_turn_asked_again_gets_it_again(desk: Desk) -> None:
    desk.accept()
    attempt, _ = begin(desk)
    desk.ledger.messages.queue("run-one", "be quick", sender="ana")
    first = desk.ledger.messages.deliver(attempt, 2)
    assert [message.text for message in first] == ["be quick"]
    assert desk.ledger.messages.deliver(attempt, 2) == first
    assert desk.ledger.messages.deliver(attempt, 3) == []


def test_exchanges_are_kept_by_what_each_adds_and_read_back_whole(desk: Desk) -> None:
    desk.accept()
    attempt, _ = begin(desk)
    bodies = [b'{"input":["' + b"x" * 1000 + b'"', b'{"input":["' + b"x" * 1000 + b'","\xc3\xa9"', b'{"other":1']
    previous = b""
    for turn, body in enumerate(bodies, start=1):
        desk.ledger.exchanges.record(
            attempt,
            turn,
            model="m",
            request=body,
            previous=previous,
            reply={},
            response="",
            usage=Usage(input_tokens=turn),
            cost_usd=None,
            latency_seconds=0.0,
        )
        previous = body
    assert [desk.ledger.exchanges.request(attempt.id, turn) for turn in (1, 2, 3)] == [body.decode() for body in bodies]
    assert desk.ledger.exchanges.request(attempt.id, 4) is None
    assert desk.ledger.exchanges.usage("run-one") == Usage(turns=3, input_tokens=6, unpriced=3)


def test_a_run_is_found_by_the_beginning_of_its_id(desk: Desk) -> None:
    desk.accept("run-abc")
    desk.clock.advance(timedelta(seconds=1))
    desk.accept("run-abd")
    assert desk.ledger.runs.find("run-abc").id == "run-abc"
    assert desk.ledger.runs.find("latest").id == "run-abd"
    with pytest.raises(UsageError, match="could be"):
        desk.ledger.runs.find("run-ab")
    with pytest.raises(NotFound):
        desk.ledger.runs.find("run-x")


def test_a_run_that_ends_leaves_no_gate_open_and_no_message_waiting(desk: Desk) -> None:
    gate = desk.gate(desk.accept())
    desk.ledger.messages.queue("run-one", "hello", sender="ana")
    desk.ledger.runs.set_status("run-one", "cancelled")
    assert desk.ledger.gates.get(gate.id).status == "void"
    assert [message.status for message in desk.ledger.messages.list("run-one")] == ["expired"]
    desk.ledger.audit("run-one")


def test_a_run_is_not_done_over_a_persons_request(desk: Desk) -> None:
    desk.accept()
    desk.ledger.runs.ask("run-one", "cancel", actor="ana")
    with pytest.raises(NotAllowed, match="asked to cancel"):
        desk.ledger.runs.set_status("run-one", "done")
    assert desk.ledger.runs.get("run-one").request == "cancel"


def test_a_run_that_has_ended_is_not_resumed_but_a_done_one_is_rolled_back(desk: Desk) -> None:
    desk.accept()
    desk.ledger.runs.set_status("run-one", "done")
    with pytest.raises(NotAllowed):
        desk.ledger.runs.resume("run-one", actor="ana")
    asked = desk.ledger.runs.ask("run-one", "rollback", actor="ana")
    assert (asked.status, asked.request) == ("running", "rollback")
