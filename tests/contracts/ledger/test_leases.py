"""Two engines on one ledger: one carries a run, and what the other writes late is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.contracts.ledger.conftest import Desk
from tests.ledgers import Thing

from phasegate.infra.errors import LeaseHeld
from phasegate.infra.identity import Person
from phasegate.infra.ledger import Ledger, Usage

PAST = timedelta(minutes=5)


def kinds(ledger: Ledger) -> list[str]:
    return [event.kind for event in ledger.events("run-one")]


def test_one_engine_has_a_run_and_taking_it_again_keeps_its_token(desk: Desk) -> None:
    desk.accept()
    first = desk.ledger.leases.take("run-one", "a/1")
    assert desk.ledger.leases.take("run-one", "a/1").token == first.token == 1
    with pytest.raises(LeaseHeld, match="a/1 owns run-one"):
        desk.ledger.leases.take("run-one", "b/1")
    assert kinds(desk.ledger) == ["run.accepted", "run.taken"]


def test_another_engine_takes_over_when_the_lease_runs_out_but_not_while_it_is_renewed(desk: Desk) -> None:
    """Mutation tried: `renew` without effect makes b take over too early; `take` ignoring `expires_at`, never."""
    desk.accept()
    desk.ledger.leases.take("run-one", "a/1")
    for _ in range(3):
        desk.clock.advance(timedelta(seconds=50))
        assert desk.ledger.leases.renew("a/1", ["run-one", "run-two"]) == 1
        with pytest.raises(LeaseHeld):
            desk.ledger.leases.take("run-one", "b/1")
    desk.clock.advance(PAST)
    assert desk.ledger.leases.take("run-one", "b/1").token == 2
    assert desk.ledger.leases.renew("a/1", ["run-one"]) == 0


def test_a_run_that_was_let_go_is_anybodys_and_shows_no_interruption(desk: Desk) -> None:
    desk.accept()
    lease = desk.ledger.leases.take("run-one", "a/1")
    desk.ledger.leases.release(lease)
    found = desk.ledger.leases.find("run-one")
    assert found is not None
    assert found.expires_at == found.released_at == desk.clock.now()
    assert desk.ledger.leases.renew("a/1", ["run-one"]) == 0
    taken = desk.ledger.leases.take("run-one", "b/1")
    assert taken.token == 2
    assert taken.released_at is None


def test_letting_go_late_leaves_the_next_engines_lease_alone(desk: Desk) -> None:
    desk.accept()
    late = desk.ledger.leases.take("run-one", "a/1")
    desk.clock.advance(PAST)
    taken = desk.ledger.leases.take("run-one", "b/1")
    desk.ledger.leases.release(late)
    assert desk.ledger.leases.find("run-one") == taken


def test_an_engine_that_stops_on_purpose_lets_go_of_its_own_runs_only(desk: Desk) -> None:
    for run_id, holder in {"run-one": "a/1", "run-two": "b/1"}.items():
        desk.accept(run_id)
        desk.ledger.leases.take(run_id, holder)
    desk.ledger.leases.release_all("a/1")
    assert desk.ledger.leases.take("run-one", "b/1").token == 2
    with pytest.raises(LeaseHeld):
        desk.ledger.leases.take("run-two", "a/1")


def test_p3_p4_every_late_write_is_refused_and_leaves_an_event(desk: Desk) -> None:
    """Mutation tried: `Store._fenced_off_by` always giving None makes this fail at the first write."""
    run = desk.accept()
    late = desk.ledger.fenced(desk.ledger.leases.take("run-one", "a/1"))
    attempt, lease = late.attempts.begin(
        "run-one", "prd", "", 1, inputs={"ticket": "1"}, model="m", prompt="p", holder="a/1"
    )
    assert lease is not None
    intended = late.effects.intend("run-one", "merge", "run-one/merge", intent={}, compensation="revert")
    desk.clock.advance(PAST)
    desk.ledger.leases.take("run-one", "b/1")
    writes: dict[str, Callable[[], object]] = {
        "gate.opened": lambda: late.gates.open(run, "prd", 1, subject={"prd": "sha256:1"}),
        "effect.done": lambda: late.effects.done(intended, {"commit": "abc"}),
        "effect.intended": lambda: late.effects.intend(
            "run-one", "merge", "run-one/merge", intent={}, compensation="revert"
        ),
        "attempt.finished": lambda: late.attempts.finish(attempt, lease, Thing(name="late")),
        "run.done": lambda: late.runs.set_status("run-one", "done"),
        "turn.answered": lambda: late.exchanges.record(
            attempt,
            1,
            model="m",
            request=b"",
            previous=b"",
            reply={},
            response="",
            usage=Usage(),
            cost_usd=None,
            latency_seconds=0.0,
        ),
    }
    before = kinds(desk.ledger)
    for write in writes.values():
        with pytest.raises(LeaseHeld, match=r"b/1 has taken run-one over: .* of a/1 is refused"):
            write()
    refused = desk.ledger.events("run-one")[len(before) :]
    assert [(event.kind, event.payload["kind"]) for event in refused] == [("write.refused", kind) for kind in writes]
    assert desk.ledger.runs.get("run-one").status == "accepted"
    desk.ledger.audit("run-one")


def test_people_write_whoever_has_the_run(desk: Desk) -> None:
    run = desk.accept()
    gate = desk.gate(run)
    desk.ledger.leases.take("run-one", "a/1")
    assert desk.ledger.gates.decide(gate.id, "approve", Person("bo", "local")).status == "approved"


def test_whoever_has_the_run_takes_over_what_was_held_of_it(desk: Desk) -> None:
    desk.accept()
    begin = {"inputs": {"ticket": "1"}, "model": "m", "prompt": "p"}
    first = desk.ledger.fenced(desk.ledger.leases.take("run-one", "a/1"))
    first.attempts.begin("run-one", "prd", "", 1, holder="a/1", **begin)  # type: ignore[arg-type]  # as above
    desk.ledger.leases.release_all("a/1")
    second = desk.ledger.fenced(desk.ledger.leases.take("run-one", "b/1"))
    _, lease = second.attempts.begin("run-one", "prd", "", 1, holder="b/1", **begin)  # type: ignore[arg-type]  # as above
    assert lease is not None
    assert lease.token == 2
