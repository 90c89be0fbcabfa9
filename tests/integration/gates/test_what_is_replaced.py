"""P4: an approved release plan holds for what served when it was drafted, and for nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.integration.replay import conftest
from tests.support.greeter import REQUESTER
from tests.support.lifecycle import LifecycleHarness

from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.effects.performers import CandidatePerformer, CutOverPerformer, Facts
from phasegate.flows.lifecycle.rollout.baseline import Baseline
from phasegate.infra.deploy.process.services import service_name, state_of
from phasegate.infra.deploy.service_folder import ServiceFolder
from phasegate.infra.deploy.target import TargetState
from phasegate.infra.ledger import Run

house = conftest.house


class Died(BaseException):
    """The engine is killed here."""


BEFORE_AND_AFTER = [pytest.param(False, id="before"), pytest.param(True, id="after", marks=pytest.mark.proof)]
"""Moments of a crash, by when the performer has worked."""


def serves(house: LifecycleHarness) -> str | None:
    """The release that serves."""
    state: TargetState = state_of(ServiceFolder(house.shared.settings.home, service_name(house.folder / "greeter")))
    return state.current.release_id if state.current else None


async def at_release_gate(house: LifecycleHarness) -> Run:
    """A run that waits at its last gate."""
    house.answering = False
    run = await house.run()
    for gate in ("prd", "change"):
        assert [row.gate for row in house.ledger.gates.waiting(run.id)] == [gate]
        approve(house, run)
        run = await house.carry(run)
    assert [row.gate for row in house.ledger.gates.waiting(run.id)] == ["release"], run.reason
    script = house.folder / "script.yaml"  # its sealed tests are merged: the next run needs other names
    script.write_text(script.read_text().replace("tests/polite", "tests/again_polite"))
    return run


def approve(house: LifecycleHarness, run: Run) -> None:
    """Say go at the gate that is open."""
    (gate,) = house.ledger.gates.waiting(run.id)
    house.ledger.gates.decide(gate.id, "approve", REQUESTER)


def rounds(house: LifecycleHarness, run: Run) -> list[tuple[int, str]]:
    """Rounds of gate `release`, each with its outcome."""
    return [(gate.number, gate.status) for gate in house.ledger.gates.list(run.id) if gate.gate == "release"]


def plans(house: LifecycleHarness, run: Run) -> list[str]:
    """The release that each drafted plan replaces."""
    drafted = [one for one in house.ledger.attempts.list(run.id) if one.part == "plan" and one.artifact]
    return [str(house.ledger.artifacts.json(one.artifact or "")["replaces"]) for one in drafted]


@pytest.fixture
async def two(house: LifecycleHarness) -> tuple[Run, Run]:
    """Two runs on one repository, each with a plan for a service that nothing serves yet; the second is approved."""
    first, second = await at_release_gate(house), await at_release_gate(house)
    approve(house, second)
    return first, second


async def released(house: LifecycleHarness, run: Run) -> Run:
    """Approve what a run asks, and carry it to its end."""
    house.answering = True
    run = await house.carry(run)
    assert run.status == "done", run.reason
    return run


async def test_a_plan_is_void_once_another_run_has_released(house: LifecycleHarness, two: tuple[Run, Run]) -> None:
    """P4. Mutation tried: `Replaced.outdated` says nothing; the run then replaces a release unasked."""
    first, second = two
    await released(house, first)

    house.answering = False
    second = await house.carry(second)

    assert (second.status, rounds(house, second)) == ("waiting", [(1, "outdated"), (2, "open")])
    assert plans(house, second) == ["", first.id]
    assert serves(house) == first.id
    assert not [effect for effect in house.ledger.effects.list(second.id) if effect.kind != "merge"]
    (said,) = [event for event in house.ledger.events(second.id) if event.kind == "gate.outdated"]
    assert f"now it is {first.id}" in said.payload["why"]
    second = await house.carry(second)  # and another walk finds it so
    assert rounds(house, second) == [(1, "outdated"), (2, "open")]

    second = await released(house, second)
    assert rounds(house, second) == [(1, "outdated"), (2, "approved")]
    (cut_over,) = [effect for effect in house.ledger.effects.list(second.id) if effect.kind == "cut-over"]
    assert (cut_over.intent["previous"], serves(house)) == (first.id, second.id)
    for run in two:
        house.ledger.audit(run.id)


async def test_the_plan_is_not_taken_up_again_when_what_it_replaced_is_back(
    house: LifecycleHarness, two: tuple[Run, Run]
) -> None:
    """P4. Mutation tried: `_asked` does not look for rounds that are over; the first is then asked once more."""
    first, second = two
    await released(house, first)
    house.answering = False
    await house.carry(second)
    house.ledger.runs.ask(first.id, "rollback", actor="ana")
    await house.carry(first)
    assert serves(house) is None

    await house.carry(second)

    assert rounds(house, second) == [(1, "outdated"), (2, "outdated"), (3, "open")]
    assert plans(house, second) == ["", first.id, ""]


async def test_what_changes_after_the_decision_was_used_is_seen_before_the_first_effect(
    house: LifecycleHarness, two: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P4. Mutation tried: `deploy` does not ask `violation`; the second look is then never made."""
    first, second = two
    looks: list[str] = []
    asked = Baseline.violation

    async def look(replaced: Any, run: RunContext) -> str:
        looks.append(run.id)
        if len(looks) == 2:  # the gate has looked, and let it pass
            monkeypatch.undo()
            await released(house, first)
            house.answering = False
        return await asked(replaced, run)

    monkeypatch.setattr(Baseline, "violation", look)
    second = await house.carry(second)

    assert looks == [second.id, second.id]
    assert rounds(house, second) == [(1, "outdated"), (2, "open")]
    assert (second.status, serves(house)) == ("waiting", first.id)


def dies(after: bool) -> Callable[..., Any]:
    """A `make` during which the engine is killed."""

    def patch(real: Callable[..., Any]) -> Callable[..., Any]:
        async def make(self: Any, run: RunContext, key: str, intent: Mapping[str, Any]) -> Facts:
            if after:
                await real(self, run, key, intent)
            raise Died

        return make

    return patch


@pytest.mark.parametrize("performer", [CandidatePerformer, CutOverPerformer])
@pytest.mark.parametrize("after", BEFORE_AND_AFTER)
async def test_a_run_that_died_deploying_does_not_take_its_own_release_for_another(
    house: LifecycleHarness, monkeypatch: pytest.MonkeyPatch, performer: Any, after: bool
) -> None:
    """P2, P3. Mutation tried: `violation` without `_begun`: after the cut-over the run then asks again, for ever."""
    run = await at_release_gate(house)
    approve(house, run)
    with monkeypatch.context() as patched:
        patched.setattr(performer, "make", dies(after)(performer.make))
        with pytest.raises(Died):
            await house.carry(run)
    house.ledger.leases.expire_previous("another")

    run = await house.carry(house.ledger.runs.get(run.id))

    assert (run.status, rounds(house, run)) == ("done", [(1, "approved")])
    assert serves(house) == run.id
    kinds = [effect.kind for effect in house.ledger.effects.list(run.id)]
    assert kinds == ["merge", "candidate", "cut-over"]


@pytest.mark.parametrize("after", BEFORE_AND_AFTER)
async def test_a_run_that_died_deploying_goes_back_to_what_it_began_over(
    house: LifecycleHarness, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """P3, P6. Mutation tried: `previous` is None once the candidate is intended; the run is then rolled back."""
    first, run = await released(house, await at_release_gate(house)), await at_release_gate(house)
    approve(house, run)
    with monkeypatch.context() as patched:
        patched.setattr(CandidatePerformer, "make", dies(after)(CandidatePerformer.make))
        with pytest.raises(Died):
            await house.carry(run)
    house.ledger.leases.expire_previous("another")

    run = await house.carry(house.ledger.runs.get(run.id))

    assert (run.status, serves(house)) == ("done", run.id), run.reason
    (cut_over,) = [effect for effect in house.ledger.effects.list(run.id) if effect.kind == "cut-over"]
    assert (cut_over.intent["previous"], cut_over.compensation) == (first.id, f"let release {first.id} serve again")
    house.ledger.runs.ask(run.id, "rollback", actor="ana")
    assert (await house.carry(run)).status == "rolled-back"
    assert serves(house) == first.id


async def test_a_release_made_while_the_run_was_dead_is_not_replaced_unasked(
    house: LifecycleHarness, two: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P4. Mutation tried: `previous` looks at what serves once more; the run then replaces a release unasked."""
    first, second = two
    with monkeypatch.context() as patched:
        patched.setattr(CandidatePerformer, "make", dies(after=True)(CandidatePerformer.make))
        with pytest.raises(Died):
            await house.carry(second)
    house.ledger.leases.expire_previous("another")
    await released(house, first)

    second = await house.carry(house.ledger.runs.get(second.id))

    assert (second.status, serves(house)) == ("rolled-back", first.id)
    assert "was to replace nothing, but" in (second.reason or {})["message"]


async def test_a_release_that_cuts_in_between_candidate_and_cut_over_is_not_replaced_unasked(
    house: LifecycleHarness, two: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P4. Mutation tried: `cut_over` without `over`: it then replaces a release that no person approved to replace."""
    first, second = two
    real = CutOverPerformer.make

    async def make(self: CutOverPerformer, run: RunContext, key: str, intent: Mapping[str, Any]) -> Facts:
        monkeypatch.undo()
        await released(house, first)
        return await real(self, run, key, intent)

    monkeypatch.setattr(CutOverPerformer, "make", make)
    second = await house.carry(second)

    assert (second.status, serves(house)) == ("rolled-back", first.id)
    reason = second.reason or {}
    assert "was to replace nothing, but" in reason["message"]
    assert "phasegate replay RUN --from deployment" in reason["remedy"]


async def test_a_rehearsal_goes_round_as_often_as_the_run_did(house: LifecycleHarness, two: tuple[Run, Run]) -> None:
    """A plan that was void then is void in the rehearsal, and drafted again from the record."""
    first, second = two
    await released(house, first)
    second = await released(house, second)
    assert rounds(house, second) == [(1, "outdated"), (2, "approved")]

    rehearsal = await house.again(second, rehearse=True)

    assert (rehearsal.status, (rehearsal.reason or {}).get("code")) == ("done", "same"), rehearsal.reason
    assert house.turns(rehearsal)["deployment.plan/2"] == 1
