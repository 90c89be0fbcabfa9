"""P6: a run's rollback is begun once, continues wherever it was cut off, and excludes all other work on the run."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.replay import conftest
from tests.support.greeter import REQUESTER
from tests.support.lifecycle import LifecycleHarness

from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.effects.performers import CandidatePerformer, CutOverPerformer, Facts, MergePerformer
from phasegate.infra.errors import DeployFailed, IntegrationFailed, NotAllowed
from phasegate.infra.ledger import Effect, Run

house = conftest.house


class Died(BaseException):
    """The engine is killed here."""


@pytest.fixture
async def released(house: LifecycleHarness) -> Run:
    """A run that is done, and serves."""
    run = await house.run()
    assert run.status == "done", run.reason
    return run


def undo_raises(monkeypatch: pytest.MonkeyPatch, performer: Any, error: BaseException, *, after: bool = False) -> None:
    """Make the undoing of one kind of effect fail, after it was done or before."""
    real = performer.undo

    async def undo(self: Any, run: RunContext, effect: Effect) -> Facts:
        if after:
            await real(self, run, effect)
        raise error

    monkeypatch.setattr(performer, "undo", undo)


def effects(house: LifecycleHarness, run: Run) -> list[tuple[str, str]]:
    return [(effect.kind, effect.status) for effect in house.ledger.effects.list(run.id)]


async def asked_to_roll_back(house: LifecycleHarness, run: Run) -> Run:
    house.ledger.runs.ask(run.id, "rollback", actor="ana")
    return await house.carry(run)


UNDONE = [("merge", "undone"), ("candidate", "undone"), ("cut-over", "undone")]


async def test_one_that_is_stuck_asks_for_a_person_and_resume_goes_on_from_it(
    house: LifecycleHarness, released: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P6. Untried mutation: `_run_and_record` without the rollback that has begun: the resumed run goes to "done"."""
    with monkeypatch.context() as patched:
        undo_raises(patched, CandidatePerformer, DeployFailed("the port is gone", remedy="Bring the port back."))
        run = await asked_to_roll_back(house, released)
    assert run.status == "needs-operator"
    assert effects(house, run) == [("merge", "done"), ("candidate", "stuck"), ("cut-over", "undone")]
    reason = run.reason or {}
    assert "the port is gone" in reason["message"]
    assert reason["remedy"] == f"Bring the port back. Then `phasegate resume {run.id}` goes on from here."

    house.ledger.runs.resume(run.id, actor="ana")
    run = await house.carry(run)

    assert (run.status, effects(house, run)) == ("rolled-back", UNDONE)
    assert house.kinds(run).count("rollback.began") == 1
    house.ledger.audit(run.id)


@pytest.mark.parametrize("performer", [CutOverPerformer, CandidatePerformer, MergePerformer])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_one_that_was_cut_off_goes_on_from_there(
    house: LifecycleHarness, released: Run, monkeypatch: pytest.MonkeyPatch, performer: Any, after: bool
) -> None:
    """P6. The same by kill -9: tests/crash."""
    with monkeypatch.context() as patched:
        undo_raises(patched, performer, Died(), after=after)
        with pytest.raises(Died):
            await asked_to_roll_back(house, released)
    house.ledger.leases.expire_previous("another")
    run = await house.carry(released)
    assert (run.status, effects(house, run)) == ("rolled-back", UNDONE)
    undone = [event.payload["effect"] for event in house.ledger.events(run.id) if event.kind == "effect.undone"]
    assert undone == [f"{run.id}/cut-over", f"{run.id}/candidate", f"{run.id}/merge"]


async def test_a_release_that_failed_is_not_tried_again_once_it_is_being_undone(
    house: LifecycleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P3, P6. Untried mutation: as the first: the resumed run then intends a cut-over of a candidate that is gone."""
    with monkeypatch.context() as patched:

        async def make(*_: Any) -> Facts:
            raise DeployFailed("it does not come up")

        patched.setattr(CandidatePerformer, "make", make)
        undo_raises(patched, MergePerformer, IntegrationFailed("main has moved on", remedy="Revert by hand."))
        run = await house.run()
    assert (run.status, effects(house, run)) == ("needs-operator", [("merge", "stuck"), ("candidate", "undone")])

    house.ledger.runs.resume(run.id, actor="ana")
    run = await house.carry(run)

    assert (run.status, effects(house, run)) == ("rolled-back", [("merge", "undone"), ("candidate", "undone")])
    assert "does not come up" in (run.reason or {})["message"]


async def test_a_run_that_waits_at_a_gate_is_rolled_back_and_asks_no_more(house: LifecycleHarness) -> None:
    house.answering = False
    run = await house.run()
    for _ in ("prd", "change"):
        (gate,) = house.ledger.gates.waiting(run.id)
        house.ledger.gates.decide(gate.id, "approve", REQUESTER)
        run = await house.carry(run)
    assert [gate.gate for gate in house.ledger.gates.waiting(run.id)] == ["release"]
    run = await asked_to_roll_back(house, run)
    assert (run.status, effects(house, run)) == ("rolled-back", [("merge", "undone")])
    assert house.ledger.gates.waiting(run.id) == []
    with pytest.raises(NotAllowed, match="is rolled-back: there is nothing to rollback"):
        house.ledger.runs.ask(run.id, "rollback", actor="ana")
