"""P5: people whom policy does not let decide, who write rows and events into the database, chain and all.

The forger has the ledger's file and a key that counts, or once did. Nothing of the ledger's own code checks what is
written; it is the code that phasegate itself writes with. What policy at the base commit says is out of reach.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.integration.gates.conftest import SUBJECT, Desk

from phasegate.infra.errors import NotAllowed, TrailBroken
from phasegate.infra.identity import AllowedSigners
from phasegate.infra.ledger import Gate, Run
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.gates.authorization import subject_digest
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.store import new_id

OTHER_RULES = "has other rules than the run's policy"


@dataclass
class Forger:
    """Appends rows with events that vouch for them, at any time of the clock."""

    desk: Desk
    rules: dict[str, Any] = field(default_factory=dict)

    def run(self) -> Run:
        """A run at whose gates two of Ana, Bo and Cy must sign, and not the requester."""
        keys = self.desk.keys
        signers = AllowedSigners(text="".join(map(keys.line, ("ana", "bo", "cy", "eve"))))
        rules = {"people": ["ana", "bo", "cy"], "quorum": 2, "exclude_requester": True, **self.rules}
        return self.desk.accept(signers=signers, **rules)

    def gate(self, run: Run, **columns: Any) -> Gate:
        """Append a gate that lets anyone decide, unless other columns are given."""
        policy = self.desk.ledger.artifacts.json(run.policy)
        subject = {**SUBJECT, AllowedSigners.kind: policy["allowed_signers"]}
        now, gate_id = self.desk.clock.now(), new_id("gate")
        row = {
            "id": gate_id,
            "run_id": run.id,
            "gate": "prd",
            "number": 1,
            "subject": subject,
            "subject_digest": subject_digest("prd", 1, subject),
            "roles": [],
            "quorum": 1,
            "exclude_requester": 0,
            "requester": run.requester,
            "nonce": "0" * 32,
            "status": "open",
            "opened_at": now,
            "expires_at": now + timedelta(hours=1),
            **columns,
        }
        payload = payloads.GateOpened(gate="prd", number=1, subject=subject)
        with self.desk.ledger._store.change(run.id, EventKind.GATE_OPENED, actor="engine", payload=payload) as change:
            change.insert(schema.gates, **row)
        return self.desk.ledger.gates.get(gate_id)

    def decision(self, gate: Gate, name: str, *, decided_at: datetime | None = None, closes: bool = True) -> None:
        """Append a person's signed approval."""
        row = {
            "id": new_id("decision"),
            "run_id": gate.run_id,
            "gate_id": gate.id,
            "subject_digest": gate.subject_digest,
            "verdict": "approve",
            "approver": name,
            "identity": "ssh",
            "standing": False,
            "override": False,
            "note": "",
            "signature": self.desk.signature(gate, name),
            "for_stage": False,
            "tests": [],
            "decided_at": decided_at or self.desk.clock.now(),
        }
        payload = payloads.GateDecided(
            gate=gate.id, verdict="approve", note="", standing=False, subject=gate.subject_digest
        )
        with self.desk.ledger._store.change(gate.run_id, EventKind.GATE_DECIDED, actor=name, payload=payload) as change:
            change.insert(schema.decisions, **row)
            if closes:
                change.update(schema.gates, gate.id, status="approved")

    def audit(self) -> str:
        """Message of the audit, or an empty text if the trail holds."""
        try:
            self.desk.ledger.audit("run-one")
        except TrailBroken as error:
            return error.message
        return ""


@pytest.fixture
def forger(desk: Desk) -> Forger:
    return Forger(desk)


AS_POLICY: dict[str, Any] = {"roles": ["ana", "bo", "cy"], "quorum": 2, "exclude_requester": 1}
WEAKER = {
    "no rules at all": {},
    "one of them is enough": AS_POLICY | {"quorum": 1},
    "one more person": AS_POLICY | {"roles": ["ana", "bo", "cy", "eve"]},
    "the requester, too": AS_POLICY | {"exclude_requester": 0},
    "another requester": AS_POLICY | {"requester": "eve"},
    "for longer": AS_POLICY | {"expires_at": datetime.fromisoformat("2027-11-22T12:00:00+00:00")},
}


@pytest.mark.parametrize("columns", WEAKER.values(), ids=WEAKER)
def test_a_gate_appended_with_rules_of_its_own_opens_nothing(forger: Forger, columns: dict[str, Any]) -> None:
    """Mutations tried: rules read from the row; the audit without `are_of`; `open` that takes what it finds."""
    run = forger.run()
    gate = forger.gate(run, **columns)
    forger.decision(gate, "ana")
    assert forger.desk.rules(gate) is None
    assert any(OTHER_RULES in why for why in forger.desk.refusals())
    assert f"gates/{gate.id}: it lets others decide" in forger.audit()
    anew = forger.desk.gate(run, subject=gate.subject)
    assert (anew.id != gate.id, anew.roles, anew.quorum) == (True, ("ana", "bo", "cy"), 2)


def test_nobody_is_told_that_a_decision_at_such_a_gate_was_taken(forger: Forger) -> None:
    gate = forger.gate(forger.run())
    with pytest.raises(NotAllowed, match=OTHER_RULES):
        forger.desk.approve(gate, "ana")


def test_the_requester_whom_policy_excludes_does_not_decide_at_a_gate_of_the_right_rules(forger: Forger) -> None:
    gate = forger.gate(forger.run(), **AS_POLICY)
    forger.decision(gate, "ana", closes=False)
    forger.decision(gate, "bo")
    assert forger.desk.rules(gate) is None
    assert any("excludes the requester" in why for why in forger.desk.refusals())
    assert "excludes the requester" in forger.audit()


@pytest.mark.parametrize("days", [-20, 10], ids=["before the gate was opened", "later than its event"])
def test_a_decision_claims_no_time_but_that_of_the_chain(forger: Forger, days: int) -> None:
    """Mutations tried: either bound left out, here and in the audit."""
    forger.rules = {"exclude_requester": False}
    gate = forger.gate(forger.run(), **AS_POLICY | {"exclude_requester": 0})
    forger.decision(gate, "bo", decided_at=forger.desk.clock.now() + timedelta(days=days), closes=False)
    forger.decision(gate, "cy")
    assert forger.desk.rules(gate) is None
    assert "the decision claims a time at which it was not made" in forger.desk.refusals()
    assert "it claims a time at which it was not made" in forger.audit()


@pytest.mark.parametrize("moves_clock", [False, True], ids=["the row dated back", "the event dated back"])
def test_a_key_that_has_expired_signs_nothing_dated_back(forger: Forger, moves_clock: bool) -> None:
    """Mutations tried: `verify-time` from the row; events that are believed to go back in time."""
    desk, valid = forger.desk, forger.desk.clock.now() - timedelta(days=30)
    signers = AllowedSigners(text=desk.keys.line("bo", f'valid-before="{valid:%Y%m%d}"'))
    run = desk.accept(signers=signers)
    gate = forger.gate(run)
    if moves_clock:
        desk.clock.advance(timedelta(days=-60))
    forger.decision(gate, "bo", decided_at=desk.clock.now() - timedelta(days=0 if moves_clock else 60))
    if moves_clock:
        desk.clock.advance(timedelta(days=60))
    assert desk.rules(gate) is None
    assert "decisions/" in forger.audit()


def test_a_run_given_another_policy_afterwards_takes_no_decision(forger: Forger) -> None:
    """A later event vouches for the run's row as it finds it; the first says what was accepted."""
    run = forger.run()
    gate = forger.gate(run, **AS_POLICY)
    forger.desk.sql("UPDATE runs SET policy = 'sha256:3' WHERE id = ?", run.id)
    forger.desk.ledger.runs.recovered(run.id)
    with pytest.raises(TrailBroken, match="not what was accepted"):
        forger.desk.rules(gate)
    assert "the run is not what was accepted" in forger.audit()


def test_what_people_may_decide_is_taken(forger: Forger) -> None:
    """The same gate, with the policy's rules and people of it, opens: nothing above is refused for another reason."""
    gate = forger.gate(forger.run(), **AS_POLICY)
    forger.decision(gate, "bo", closes=False)
    forger.decision(gate, "cy")
    assert forger.desk.rules(gate) == "approve"
    assert "nobody proved who they are" in forger.audit(), "the request of this run was never signed"
