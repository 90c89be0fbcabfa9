"""P4, P5: rows that count at a gate, and rows that do not, whatever wrote them into the database."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from tests.integration.gates.conftest import Desk
from typing_extensions import override

from phasegate.infra.clock import FixedClock
from phasegate.infra.errors import NotAllowed, TrailBroken
from phasegate.infra.identity import Person
from phasegate.infra.ledger import Ledger
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.store import row_digest

ANA, BO, CY = Person("ana", "local"), Person("bo", "local"), Person("cy", "local")
INTO_DECISIONS = (
    "INSERT INTO decisions (id, run_id, gate_id, subject_digest, verdict, approver, identity, standing, override, "
    "note, signature, decided_at) "
)
FORGE = (
    f"{INTO_DECISIONS} SELECT 'decision-forged', g.run_id, g.id, g.subject_digest, 'approve', 'bo', 'local', 0, 0, "
    "'', '', '2026-11-22T12:00:00.000000+00:00' FROM gates g WHERE g.id = ?"
)
OPEN = "UPDATE gates SET status = 'approved' WHERE id = ?"


def test_a_forged_decision_does_not_count_and_is_named_once(desk: Desk) -> None:
    """P5. Mutation tried: `check_recorded` returns before it looks for the event; the forged row then rules."""
    gate = desk.gate(desk.accept())
    desk.sql(FORGE, gate.id)
    assert [desk.rules(gate), desk.rules(gate)] == [None, None]
    assert desk.refusals() == ["no event of the run says that this decision was made"]


def test_a_gate_forced_open_beside_its_forged_decision_is_void_and_asked_anew(desk: Desk) -> None:
    """P5. Mutation tried: `open` without `is_attested`; the altered gate is found and taken for answered."""
    run = desk.accept()
    gate = desk.gate(run)
    desk.sql(FORGE, gate.id)
    desk.sql(OPEN, gate.id)
    assert desk.rules(desk.ledger.gates.get(gate.id)) is None
    anew = desk.gate(run)
    assert (anew.status, desk.ledger.gates.get(gate.id).status) == ("open", "void")
    assert anew.id != gate.id
    assert "the gate's row was altered by something other than phasegate" in desk.refusals()


@pytest.mark.parametrize(
    "change",
    ["quorum = 1", "roles = '[]'", "exclude_requester = 0", "expires_at = '2999-01-01T00:00:00.000000+00:00'"],
)
def test_an_altered_gate_takes_no_decision(desk: Desk, change: str) -> None:
    """P5. Mutation tried: `_record` without `_vouched`; the next event then vouches for the altered row."""
    gate = desk.gate(desk.accept(quorum=2, people=["bo", "cy"], exclude_requester=True))
    desk.sql(f"UPDATE gates SET {change} WHERE id = ?", gate.id)
    with pytest.raises(NotAllowed, match="altered"):
        desk.ledger.gates.decide(gate.id, "approve", BO)
    assert desk.rules(gate) is None


@dataclass(frozen=True)
class Replay:
    """Source of a copied honest decision."""

    run: str
    number: int
    subject: dict[str, str]


REPLAYS = {
    "another run": Replay("run-two", 1, {"prd": "sha256:1", "policy": "sha256:2"}),
    "another round": Replay("run-one", 2, {"prd": "sha256:1", "policy": "sha256:2"}),
    "an older digest": Replay("run-one", 1, {"prd": "sha256:0", "policy": "sha256:2"}),
}


@pytest.mark.parametrize("replay", REPLAYS.values(), ids=REPLAYS)
@pytest.mark.parametrize("wholly", [False, True], ids=["the row alone", "the row and the subject's digest"])
def test_a_replayed_decision_does_not_count(desk: Desk, replay: Replay, wholly: bool) -> None:
    """P4. Mutation tried: the vouching event need not be of this gate's chain (`link is None` let pass)."""
    runs = {"run-one": desk.accept()}
    if replay.run not in runs:
        runs[replay.run] = desk.accept(replay.run)
    honest = desk.gate(runs[replay.run], replay.number, subject=replay.subject)
    desk.ledger.gates.decide(honest.id, "approve", BO)
    gate = desk.gate(runs["run-one"])
    digest = "g.subject_digest" if wholly else "d.subject_digest"
    desk.sql(
        f"{INTO_DECISIONS} SELECT 'decision-replayed', g.run_id, g.id, {digest}, d.verdict, d.approver, "
        "d.identity, d.standing, d.override, d.note, d.signature, d.decided_at FROM decisions d, gates g "
        "WHERE g.id = ? AND d.gate_id = ?",
        gate.id,
        honest.id,
    )
    assert desk.rules(gate) is None
    assert desk.refusals() == ["no event of the run says that this decision was made"]


def test_an_event_forged_in_the_middle_of_the_chain_vouches_for_nothing(desk: Desk) -> None:
    """P5. Mutation tried: `Chain` does not recompute the hashes."""
    gate = desk.gate(desk.accept())
    desk.ledger.note("run-one", EventKind.STAGE_STEP, payload={"stage": "prd", "text": "x"})
    desk.ledger.note("run-one", EventKind.STAGE_STEP, payload={"stage": "prd", "text": "y"})
    desk.sql(FORGE, gate.id)
    with desk.ledger._store.reading() as connection:
        forged = row_digest(connection, schema.decisions, "decision-forged")
    desk.sql(
        "UPDATE events SET kind = 'gate.decided', actor = 'bo', payload = json_set(payload, '$.gate', ?, "
        "'$.rows.\"decisions/decision-forged\"', ?) WHERE id = 'run-one/3'",
        gate.id,
        forged,
    )
    assert desk.rules(gate) is None


ACCEPTED = {
    "a standing approval": "options = json_set(options, '$.approve', json('[\"prd\"]'))",
    "another policy": "policy = 'sha256:3'",
    "another requester": "requester = 'eve'",
    "a run it replays": """origin = '{"run": "run-two", "stage": "testing", "mode": "replay"}'""",
}


@pytest.mark.parametrize("change", ACCEPTED.values(), ids=ACCEPTED)
def test_a_run_altered_behind_phasegate_is_not_carried_on(desk: Desk, change: str) -> None:
    """P5, P13. A later event vouches for the row as it finds it, the first one for what was accepted."""
    run = desk.accept()
    desk.ledger.runs.set_status(run.id, "running")
    desk.ledger.runs.require_as_accepted(run.id)
    desk.sql(f"UPDATE runs SET {change} WHERE id = ?", run.id)
    desk.ledger.runs.dispatched(run.id, "flow-run")
    desk.ledger.runs.recovered(run.id)
    with pytest.raises(TrailBroken, match="not what was accepted"):
        desk.ledger.runs.require_as_accepted(run.id)
    with pytest.raises(TrailBroken, match="runs/run-one: the run is not what was accepted"):
        desk.ledger.audit(run.id)


def test_a_clock_moved_back_revives_no_gate(desk: Desk) -> None:
    """P5. Mutation tried: `_now` without the latest event's time; the decision is then taken."""
    run = desk.accept()
    gate = desk.gate(run)
    desk.clock.advance(timedelta(days=2))
    desk.ledger.note(run.id, EventKind.STAGE_STEP, payload={"stage": "prd", "text": "later"})
    desk.clock.advance(-timedelta(days=2))
    with pytest.raises(NotAllowed, match="expired"):
        desk.ledger.gates.decide(gate.id, "approve", BO)
    assert desk.gate(run).id != gate.id
    assert any("expired" in why for why in desk.refusals())


class PassingClock(FixedClock):
    """Clock that goes two days ahead once it was read a number of times, as on a machine that stands still."""

    left = -1

    @override
    def now(self) -> datetime:
        self.left -= 1
        if self.left == 0:
            self.advance(timedelta(days=2))
        return super().now()


def test_an_approval_that_a_person_was_told_of_counts_however_slow_the_machine_is(desk: Desk) -> None:
    """P5. Mutation tried: no check of the event's own time; a late approval is then taken, and refused afterwards."""
    clock = PassingClock(desk.clock.now())
    ledger = Ledger.open(f"sqlite:///{desk.file}", clock=clock)
    outcomes: set[str | None] = set()
    for number in range(1, 7):
        slow = replace(desk, ledger=ledger)
        gate = slow.gate(slow.accept(f"run-{number}"))
        clock.left = number
        told = None
        with suppress(NotAllowed):
            ledger.gates.decide(gate.id, "approve", BO)
            told = "approve"
        clock.left = -1
        assert slow.rules(gate) == told
        outcomes.add(told)
    ledger.close()
    assert outcomes == {"approve", None}, "the clock passed the hour before the decision, and after it"


def test_a_clock_moved_ahead_closes_a_gate_and_moved_back_does_not_open_it(desk: Desk) -> None:
    """P5. Time was seen to be over: whatever the clock says next, the gate takes nothing any more."""
    run = desk.accept()
    gate = desk.gate(run)
    desk.clock.advance(timedelta(days=2))
    anew = desk.gate(run)
    desk.clock.advance(-timedelta(days=2))
    with pytest.raises(NotAllowed, match="expired"):
        desk.ledger.gates.decide(gate.id, "approve", BO)
    assert (desk.ledger.gates.get(gate.id).status, desk.rules(gate)) == ("expired", None)
    assert desk.refusals() == ["gate prd is expired, not open"]
    desk.ledger.gates.decide(anew.id, "approve", BO)
    assert desk.rules(anew) == "approve"


def test_a_decision_dated_back_by_a_forger_does_not_revive_an_expired_gate(desk: Desk) -> None:
    """P5. A row that claims a moment at which the gate was open is no decision."""
    gate = desk.gate(desk.accept(quorum=2))
    desk.ledger.gates.decide(gate.id, "approve", BO)
    desk.clock.advance(timedelta(days=2))
    desk.sql(FORGE.replace("'bo'", "'cy'"), gate.id)
    assert desk.rules(gate) is None
    with pytest.raises(NotAllowed, match="expired"):
        desk.ledger.gates.decide(gate.id, "approve", CY)


def test_a_quorum_counts_people_and_one_no_is_enough(desk: Desk) -> None:
    """P5. A second approval by the same person is refused, and a no outweighs it."""
    gate = desk.gate(desk.accept(quorum=2))
    desk.ledger.gates.decide(gate.id, "approve", BO)
    with pytest.raises(NotAllowed, match="bo has decided"):
        desk.ledger.gates.decide(gate.id, "approve", BO)
    assert desk.rules(gate) is None
    desk.ledger.gates.decide(gate.id, "reject", CY)
    assert desk.rules(gate) == "reject"


def test_a_refused_person_is_on_record_once(desk: Desk) -> None:
    """P5. Mutation tried: `decide` without `refuse`."""
    gate = desk.gate(desk.accept(exclude_requester=True, people=["ana", "bo"]))
    for person in (ANA, ANA, CY):
        with pytest.raises(NotAllowed):
            desk.ledger.gates.decide(gate.id, "approve", person)
    refused = [event for event in desk.ledger.events("run-one") if event.kind == "decision.refused"]
    assert [(event.actor, event.payload["name"]) for event in refused] == [("ana", "prd"), ("cy", "prd")]
    assert desk.ledger.audit("run-one").events == 4


def test_only_the_requester_approves_in_advance(desk: Desk) -> None:
    gate = desk.gate(desk.accept())
    with pytest.raises(NotAllowed, match="only the requester"):
        desk.ledger.gates.decide(gate.id, "approve", BO, standing=True)


@pytest.mark.parametrize(
    ("admins", "note", "why"),
    [((), "the site is down", "that takes role admin"), (("ana",), " ", "needs a note with the reason")],
    ids=["no admin", "no reason"],
)
def test_an_override_needs_the_role_and_a_reason(desk: Desk, admins: tuple[str, ...], note: str, why: str) -> None:
    """P5. Mutation tried: either half of `require_authorized`'s override."""
    gate = desk.gate(desk.accept(quorum=2, admins=admins))
    with pytest.raises(NotAllowed, match=why):
        desk.ledger.gates.decide(gate.id, "approve", ANA, override=True, note=note)
    assert desk.rules(gate) is None


def test_an_override_passes_the_gate_and_is_recorded_as_one(desk: Desk) -> None:
    """P5. Mutation tried: `ruling` ignores overrides: the quorum is then missing."""
    gate = desk.gate(desk.accept(quorum=2, exclude_requester=True, people=["bo", "cy"], admins=["ana"]))
    desk.ledger.gates.decide(gate.id, "approve", ANA, override=True, note="the site is down")
    (decision,) = desk.ledger.gates.decisions("run-one")
    assert (decision.override, decision.note) == (True, "the site is down")
    assert desk.ledger.events("run-one")[-1].kind == "gate.overridden"
    assert desk.rules(gate) == "approve"


def test_an_admin_whose_approval_was_not_enough_may_override_it(desk: Desk) -> None:
    gate = desk.gate(desk.accept(quorum=2, admins=["bo"]))
    desk.ledger.gates.decide(gate.id, "approve", BO)
    desk.ledger.gates.decide(gate.id, "approve", BO, override=True, note="cy is away")
    assert desk.rules(gate) == "approve"
