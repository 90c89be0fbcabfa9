"""Attempts that a replay adopts and attempts that it makes again, and the outcome of a rehearsal."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.support.lifecycle import LifecycleHarness, reject

from phasegate.agents.prd import Prd
from phasegate.agents.stage import StageAgent
from phasegate.flows.cli.views.next_steps import next_steps
from phasegate.flows.runs import kickoff
from phasegate.flows.views.branches import run_branches
from phasegate.flows.views.report import report
from phasegate.infra.errors import ConfigError, NotAllowed, UsageError
from phasegate.infra.ledger.events import EventKind, payloads


async def test_replaying_from_testing_calls_no_model_for_what_it_adopts(house: LifecycleHarness) -> None:
    """Mutation tried: `adopted` gives None always; the assertions on the second run then failed."""
    house.refused = {"testing.authoring/1": 1}
    failed = await house.run()
    assert failed.status == "failed", failed.reason
    house.refused, house.gates = {}, []

    again = await house.again(failed, "testing")

    assert again.status == "done", again.reason
    assert set(house.turns(again)) == {"testing.authoring/1", "deployment.plan/1"}
    assert [key.split(":")[1] for key in house.gates] == ["change", "release"]
    kinds = house.kinds(again)
    assert (kinds.count("attempt.adopted"), kinds.count("gate.carried")) == (2, 1)
    made = {attempt.id: attempt for attempt in house.ledger.attempts.list(again.id)}
    change = made[f"{again.id}/implementation/1"]
    assert change.origin == f"{failed.id}/implementation/1"
    house.ledger.audit(again.id)
    house.ledger.audit(failed.id)


async def test_rehearsing_a_finished_run_says_same_and_performs_nothing(house: LifecycleHarness) -> None:
    """A rehearsal intends no effect and opens no gate."""
    done = await house.run()
    assert done.status == "done", done.reason
    asked = dict(house.turns(done))

    rehearsal = await house.again(done, rehearse=True)

    assert (rehearsal.status, (rehearsal.reason or {}).get("code")) == ("done", "same")
    assert house.turns(rehearsal) == asked
    assert house.ledger.effects.list(rehearsal.id) == []
    assert house.ledger.gates.list(rehearsal.id) == []
    assert house.kinds(rehearsal).count("effect.rehearsed") == 3
    house.ledger.audit(rehearsal.id)


async def test_a_rehearsal_names_the_first_turn_that_departs_and_how(
    house: LifecycleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutation tried: `RecordedReplies.answer` comparing nothing; the rehearsal then said same."""
    done = await house.run()
    real = vars(StageAgent)["prompt"].fget
    monkeypatch.setattr(
        StageAgent, "prompt", property(lambda agent: real(agent) + ("Be brief." if agent.stage == "testing" else ""))
    )

    rehearsal = await house.again(done, rehearse=True)

    assert (rehearsal.status, (rehearsal.reason or {}).get("code")) == ("failed", "rehearsal")
    departed = [event.payload for event in house.ledger.events(rehearsal.id) if event.kind == "rehearsal.departed"]
    assert [(one["attempt"], one["turn"]) for one in departed] == [(f"{rehearsal.id}/testing.authoring/1", 1)]
    assert "Be brief." in departed[0]["diff"]
    assert house.ledger.effects.list(rehearsal.id) == []


async def test_resuming_repeats_no_answered_turn(house: LifecycleHarness) -> None:
    """A stage that failed in the middle continues from its last turn."""
    house.refused = {"implementation/1": 2}
    failed = await house.run()
    assert failed.status == "failed", failed.reason
    assert house.turns(failed)["implementation/1"] == 2  # the first was answered, the second refused
    house.refused = {}

    house.ledger.runs.resume(failed.id, actor="ana")
    resumed = await house.carry(failed)

    assert resumed.status == "done", resumed.reason
    turns = [one.turn for one in house.ledger.exchanges.list(failed.id) if "/implementation/" in one.attempt_id]
    assert turns == [1, 2]
    assert house.turns(failed)["implementation/1"] == 3
    assert house.turns(failed)["prd/1"] == 2
    house.ledger.audit(failed.id)


async def test_what_was_merged_has_to_be_taken_out_before_it_is_made_again(house: LifecycleHarness) -> None:
    """Mutation tried: `_require_no_conflict` left out; the replay was accepted."""
    done = await house.run()
    with pytest.raises(ConfigError, match="is still in main") as refused:
        house.accept(done, "implementation")
    assert f"phasegate rollback {done.id}" in refused.value.remedy

    house.ledger.runs.ask(done.id, "rollback", actor="ana")
    assert (await house.carry(done)).status == "rolled-back"
    again = await house.again(done, "implementation")
    assert again.status == "done", again.reason
    assert "prd/1" not in house.turns(again)


async def test_a_grade_that_is_unproven_is_one_to_go_on_from(house: LifecycleHarness) -> None:
    """Mutation seen: only a passed grade counted as finished, so what a person let pass could not be replayed."""
    script = house.folder / "script.yaml"
    script.write_text(script.read_text().replace("grep -q", "true || grep -q"))
    done = await house.run()
    grade = next(one for one in house.ledger.attempts.list(done.id) if one.part == "grading")
    assert house.ledger.artifacts.json(grade.artifact or "")["verdict"] == "unproven"
    again = await house.again(done, "deployment")
    assert again.status == "done", again.reason
    assert set(house.turns(again)) == {"deployment.plan/1"}


@pytest.mark.parametrize("verdict", ["reject", "cancel", "rollback"])
async def test_a_replay_leaves_the_effects_of_a_done_run_to_that_run(house: LifecycleHarness, verdict: str) -> None:
    """Mutation seen: rejecting the replay reverted the merge of the run that it replayed."""
    done = await house.run()
    house.answers = {"release": reject} if verdict == "reject" else {}
    house.answering = verdict != "cancel"
    again = await house.again(done, "deployment")
    if verdict != "reject":
        house.ledger.runs.ask(again.id, verdict, actor="ana")  # type: ignore[arg-type]  # a request's name
        again = await house.carry(again)

    assert again.status == {"reject": "rejected", "cancel": "cancelled", "rollback": "rolled-back"}[verdict]
    assert {effect.status for effect in house.ledger.effects.list(done.id)} == {"done"}
    assert {effect.status for effect in house.ledger.effects.list(again.id)} <= {"undone"}
    ended = report(house.ledger, again.id)
    assert [effect.kind for effect in ended.adopted] == ["merge"]
    text = "\n".join(next_steps(ended, run_branches(ended)))
    assert f"Run {done.id} keeps what it did: merge. `phasegate rollback {done.id}` undoes it." in text


async def test_replaying_monitoring_measures_the_release_and_undoes_it_with_the_run(house: LifecycleHarness) -> None:
    """Mutation seen: an adopted release without its effects taken over; rolling back left them done."""
    done = await house.run()

    again = await house.again(done, "monitoring")

    assert again.status == "done", again.reason
    assert house.turns(again) == {}
    assert house.ledger.effects.list(again.id) == []
    house.ledger.runs.ask(again.id, "rollback", actor="ana")
    assert (await house.carry(again)).status == "rolled-back"
    assert {effect.status for effect in house.ledger.effects.list(done.id)} == {"undone"}
    ended = report(house.ledger, again.id)
    assert f"Undone with it, of run {done.id}: cut-over, " in "\n".join(next_steps(ended, run_branches(ended)))
    house.ledger.audit(done.id)


async def test_cancelling_a_replay_of_monitoring_leaves_the_release_to_its_run(house: LifecycleHarness) -> None:
    """Mutation tried: `effects_to_undo` reads no status; cancelling undid the earlier run's release."""
    done = await house.run()
    again = house.accept(done, "monitoring")
    house.ledger.note(
        again.id,
        EventKind.EFFECT_ADOPTED,
        payload=payloads.EffectAdopted(effect=f"{done.id}/cut-over", kind="cut-over"),
    )
    house.ledger.runs.ask(again.id, "cancel", actor="ana")
    assert (await house.carry(again)).status == "cancelled"
    assert {effect.status for effect in house.ledger.effects.list(done.id)} == {"done"}


async def test_a_run_of_another_definition_waits_for_a_person_who_may_replay_it(
    house: LifecycleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P8. Mutation tried: `require_same_definition` lets any definition pass."""
    monkeypatch.setattr(kickoff, "DEFINITION", "0")
    house.refused = {"implementation/1": 1}
    begun = await house.run()
    monkeypatch.undo()
    house.refused = {}
    house.ledger.runs.resume(begun.id, actor="ana")

    stopped = await house.carry(begun)

    assert stopped.status == "needs-operator"
    assert f"phasegate replay {begun.id}" in (stopped.reason or {})["remedy"]
    again = await house.again(begun)
    assert (again.status, again.definition) == ("done", kickoff.DEFINITION), again.reason
    assert "prd/1" not in house.turns(again)


async def test_a_stored_format_that_is_not_known_stops_the_run(
    house: LifecycleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P8. Mutation tried: `Artifacts.get` raises NotFound instead of FormatUnknown."""
    house.answering = False
    waiting = await house.run()
    assert waiting.status == "waiting"
    monkeypatch.setattr(Prd.model_fields["schema_version"], "default", 0)  # as if 1 were a later version's

    stopped = await house.carry(waiting)

    assert stopped.status == "needs-operator", stopped.reason
    assert ((stopped.reason or {})["code"], "phasegate replay" in (stopped.reason or {})["remedy"]) == ("format", True)


@dataclass(frozen=True)
class Refusal:
    """A replay that is refused before anything is written."""

    stage: str
    says: str
    wish: dict[str, bool | str]


@pytest.mark.parametrize(
    "case",
    [
        Refusal("cooking", "has no stage cooking", {}),
        Refusal("deployment", "never finished stage implementation", {}),
        Refusal("prd", "a rehearsal repeats the whole run", {"rehearse": True}),
    ],
    ids=lambda case: case.says,
)
async def test_what_cannot_be_replayed_is_refused(house: LifecycleHarness, case: Refusal) -> None:
    house.refused = {"implementation/1": 1}
    failed = await house.run()
    before = len(house.ledger.runs.list())
    with pytest.raises(UsageError, match=case.says):
        house.accept(failed, case.stage, **case.wish)
    assert len(house.ledger.runs.list()) == before


async def test_a_run_that_goes_on_is_not_replayed(house: LifecycleHarness) -> None:
    house.answering = False
    waiting = await house.run()
    with pytest.raises(NotAllowed, match="only a run that has stopped is replayed"):
        house.accept(waiting)
