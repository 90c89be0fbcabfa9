"""What a replay adopts and what it does again, and what a rehearsal says."""

from __future__ import annotations

from tests.integration.replay.conftest import House


async def test_replaying_from_testing_calls_no_model_for_what_it_adopts(house: House) -> None:
    """Mutation tried: `adopted` gives None always; the provider was then asked for `prd/1` again."""
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


async def test_rehearsing_a_finished_run_says_same_and_performs_nothing(house: House) -> None:
    """Mutation tried: `perform` without asking `rehearses`; three effects were then intended."""
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
