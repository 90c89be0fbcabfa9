"""Steps of a release: what is done to the world at each, what is asked, and how every bad end goes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.integration.steps.conftest import BAD, GOOD, UNCLEAR, Rollout, approve, leave, reject

from phasegate.flows.views.progress import progress_of
from phasegate.infra.ledger import Run

Opened = Callable[..., Any]

WEIGHT, MORE = "set_weight = 25", "set_weight = 50"
ANALYSIS, GATE = 'analysis = ["errors"]', "gate = true"


async def test_every_step_is_walked_once_and_in_order(opened: Opened) -> None:
    async with opened(WEIGHT, 'pause = "50ms"', ANALYSIS, GATE, MORE) as house:
        run = await house.run()

        assert run.status == "done", run.reason
        assert house.effects(run) == [
            ("candidate", "done"),
            ("weight", "done"),
            ("weight", "done"),
            ("cut-over", "done"),
        ]
        assert house.weights() == ["25", "50"]
        assert (house.world["current"], house.world["candidates"], house.world["weight"]) == (run.id, [], 0)
        assert house.attempts(run) == {"candidate/1": "finished", "analysis/1": "passed", "release/1": "finished"}
        (gate,) = [one for one in house.ledger.gates.list(run.id) if one.gate == "promotion"]
        assert set(gate.subject) == {"release-plan", "candidate", "health-report", "target", "policy"}
        said = house.lines(run)
        analysis = "analysis errors 3/3: errors: success (rate was 0, so rate < 0.01 is true)"
        assert f"step 3 of 5: 25 % of the traffic, {analysis}" in said
        assert any(line.startswith("step 2 of 5: 25 % of the traffic, pause until ") for line in said)
        assert "step 4 of 5: 25 % of the traffic, gate promotion" in said
        house.ledger.audit(run.id)


async def test_a_bad_analysis_gives_the_traffic_back_and_stops_the_candidate(opened: Opened) -> None:
    """Mutation tried: `raise_if_breached` lets everything pass; the run is then done."""
    async with opened(WEIGHT, ANALYSIS, MORE) as house:
        house.measure(BAD)
        run = await house.run()

        assert run.status == "rolled-back", run.reason
        message = (run.reason or {})["message"]
        assert message.startswith("the release was bad (at step 2 of 3, with 25 % of the traffic): errors: 1 failed")
        assert house.effects(run) == [("candidate", "undone"), ("weight", "undone")]
        assert house.weights() == ["25", "0"]
        assert (house.world["current"], house.world["candidates"]) == ("by-hand", [])
        undone = {one.kind: one.undo_result or {} for one in house.ledger.effects.list(run.id)}
        assert (undone["weight"]["actual"], undone["candidate"]["serves"], undone["candidate"]["alive"]) == (
            0,
            "by-hand",
            True,
        )
        times = [one.undone_at for one in house.ledger.effects.list(run.id) if one.undone_at]
        assert times == sorted(times, reverse=True)
        assert progress_of(house.ledger, run) is None


async def test_what_is_measured_in_the_background_stops_a_pause_at_once(opened: Opened) -> None:
    """Mutation tried: `_is_to_go_on` without `over`; the run then rests for the whole of its pause."""

    async def get_worse(house: Rollout, run: Run) -> None:
        while not any("in the background errors" in line for line in house.lines(run)):  # noqa: ASYNC110 - of a log
            await asyncio.sleep(0.01)
        house.measure(BAD)

    async with opened(WEIGHT, 'pause = "10m"', more='background = ["errors"]') as house:
        house.deeds["step:2"] = get_worse
        run = await house.run()

        assert run.status == "rolled-back", run.reason
        assert "at step 2 of 2, with 25 % of the traffic, measured in the background" in (run.reason or {})["message"]
        assert house.attempts(run) == {"candidate/1": "finished", "background/1": "failed"}
        assert (house.world["current"], house.world["candidates"], house.world["weight"]) == ("by-hand", [], 0)


async def test_a_background_that_holds_is_on_record_with_the_release(opened: Opened) -> None:
    async with opened(WEIGHT, 'pause = "300ms"', more='background = ["errors"]') as house:
        run = await house.run()

        assert run.status == "done", run.reason
        assert house.attempts(run)["background/1"] == "passed"


COMPARED = """
bake = "100ms"
[[monitor.metrics]]
name = "no worse"
source = "command"
command = "cat {rates}"
values = ["rate"]
interval = "10ms"
count = 12
compare = "rate"
minimum_sample = 10
"""


@pytest.mark.parametrize("besides", ["", 'failure_condition = "rate > 0.05"'])
async def test_what_was_compared_beside_the_other_release_stands_once_it_serves(
    opened: Opened, tmp_path: Path, besides: str
) -> None:
    """Mutation tried: `compared_before` finds nothing; gate `promotion` is then asked after the cut-over."""
    more = COMPARED.format(rates=tmp_path / "rate.json") + besides
    async with opened(WEIGHT, 'analysis = ["no worse"]', more=more) as house:
        run = await house.run()

        assert (run.status, house.gates_of(run)) == ("done", []), run.reason
        stages = {**house.attempts(run), **house.attempts(run, "monitoring")}
        assert (stages["analysis/1"], stages["measuring/1"], stages["baking/1"]) == ("passed",) * 3


async def test_what_was_compared_with_nothing_is_for_a_person(opened: Opened, tmp_path: Path) -> None:
    """No analysis has compared it before it served, and there is nothing to compare with now."""
    async with opened(WEIGHT, more=COMPARED.format(rates=tmp_path / "rate.json")) as house:
        house.deeds["gate:promotion"] = approve
        run = await house.run()

        assert (run.status, house.gates_of(run)[0]) == ("done", (1, "approved")), run.reason
        assert house.attempts(run, "monitoring")["measuring/1"] == "inconclusive"


@pytest.mark.parametrize("after", ["", "cut-over"])
async def test_a_person_decides_where_measuring_says_neither_yes_nor_no(opened: Opened, after: str) -> None:
    """Later measurements are recorded, and a pass in them decides nothing."""

    async def get_better(house: Rollout, run: Run) -> None:
        house.measure(GOOD)
        while not any("since the gate opened errors" in line and "success" in line for line in house.lines(run)):  # noqa: ASYNC110 - of a log
            await asyncio.sleep(0.01)
        assert (run.reason or {})["code"] == "measuring"
        await approve(house, run)

    async with opened(*([] if after else [WEIGHT, ANALYSIS])) as house:
        house.measure(UNCLEAR)
        house.deeds["gate:promotion"] = get_better
        run = await house.run()

        assert (run.status, house.gates_of(run)) == ("done", [(1, "approved")]), run.reason
        stage = "monitoring" if after else "deployment"
        assert "watching/1" in house.attempts(run, stage)
        house.ledger.audit(run.id)


@pytest.mark.parametrize("after", ["", "cut-over"])
async def test_a_failure_found_while_a_person_thinks_closes_the_gate_and_goes_back(opened: Opened, after: str) -> None:
    """Mutation tried: `_ended_by` says nothing; the gate then waits for its person."""

    async def get_worse(house: Rollout, run: Run) -> None:
        house.measure(BAD)

    async with opened(*([] if after else [WEIGHT, ANALYSIS])) as house:
        if after:
            house.change_world(current=None, alive=False)
        house.measure(UNCLEAR)
        house.deeds["gate:promotion"] = get_worse
        run = await house.run()

        assert (run.status, house.gates_of(run)) == ("rolled-back", [(1, "outdated")]), run.reason
        assert "while gate promotion was open" in (run.reason or {})["message"]
        assert house.attempts(run, "monitoring" if after else "deployment")["watching/1"] == "failed"
        assert (house.world["current"], house.world["candidates"]) == (None if after else "by-hand", [])


async def test_who_says_no_at_a_step_has_all_of_it_taken_back(opened: Opened) -> None:
    async with opened(WEIGHT, GATE) as house:
        house.deeds["gate:promotion"] = reject
        run = await house.run()

        assert run.status == "rejected", run.reason
        assert house.effects(run) == [("candidate", "undone"), ("weight", "undone")]
        assert (house.world["current"], house.world["candidates"], house.world["weight"]) == ("by-hand", [], 0)


async def test_a_pause_goes_by_when_it_began(opened: Opened) -> None:
    """Mutation tried: `_begun` gives the time of now; each walk then rests as long again."""
    async with opened(WEIGHT, 'pause = "2s"') as house:
        house.deeds["step:2"] = leave
        run = await house.run()
        began = run.reason or {}
        assert (run.status, began["code"]) == ("running", "pause")
        house.deeds["step:2"] = leave
        run = await house.carry(run)
        assert run.reason == began
        found = progress_of(house.ledger, run)
        assert found is not None
        assert found.text.startswith("step 2 of 2: 25 % of the traffic, pause until ")

        run = await house.carry(run)

        assert run.status == "done", run.reason
        assert datetime.now(UTC) >= datetime.fromisoformat(began["until"])
        assert house.weights() == ["25"]


async def test_a_change_by_somebody_else_voids_what_was_measured_and_approved(opened: Opened) -> None:
    """P4. Mutation tried: `CandidateBaseline.violation` says nothing; an unapproved release is then replaced."""

    async def edit(house: Rollout, run: Run) -> None:
        house.change_world(revision="2")
        await approve(house, run)

    async with opened(WEIGHT, ANALYSIS, GATE) as house:
        house.deeds["gate:promotion"] = edit
        run = await house.run()

        assert run.status == "done", run.reason
        assert house.gates_of(run, "release") == [(1, "outdated"), (2, "approved")]
        assert [status for _, status in house.gates_of(run)] == ["void", "approved"]
        assert house.effects(run) == [
            ("candidate", "undone"),
            ("weight", "undone"),
            ("candidate", "done"),
            ("weight", "done"),
            ("cut-over", "done"),
        ]
        assert house.weights() == ["25", "0", "25"]
        assert (house.world["current"], house.world["candidates"]) == (f"{run.id}-2", [])
        (why,) = [event.payload["why"] for event in house.ledger.events(run.id) if event.kind == "run.rewind-requested"]
        assert why.startswith("Somebody else has changed what release by-hand set up.")
        house.ledger.audit(run.id)


async def test_a_breach_while_it_bakes_goes_back_to_the_release_before(opened: Opened) -> None:
    """Mutation tried: `monitor` without the bake; the second run is then done."""
    async with opened(WEIGHT, more='bake = "400ms"') as house:
        first = await house.run()
        assert first.status == "done", first.reason
        assert house.attempts(first, "monitoring") == {"measuring/1": "passed", "baking/1": "passed"}

        async def get_worse() -> None:
            while True:
                await asyncio.sleep(0.01)
                if any(
                    "baking" in line
                    for one in house.ledger.runs.list()
                    if one.id != first.id
                    for line in house.lines(one)
                ):
                    house.measure(BAD)
                    return

        worse = asyncio.create_task(get_worse())
        second = await house.again(first, "deployment")
        await worse

        assert second.status == "rolled-back", second.reason
        assert "while it baked" in (second.reason or {})["message"]
        assert house.world["current"] == first.id


async def test_a_replay_takes_the_steps_over_and_a_rehearsal_performs_none(opened: Opened) -> None:
    async with opened(WEIGHT, 'pause = "50ms"', ANALYSIS, GATE, more='background = ["errors"]\nbake = "50ms"') as house:
        run = await house.run()
        assert run.status == "done", run.reason
        calls = house.weights()

        rehearsal = await house.again(run, rehearse=True)
        assert (rehearsal.status, (rehearsal.reason or {}).get("code")) == ("done", "same"), rehearsal.reason
        assert house.ledger.effects.list(rehearsal.id) == []

        again = await house.again(run, "monitoring")
        assert again.status == "done", again.reason
        assert house.ledger.effects.list(again.id) == []
        adopted = [e.payload["kind"] for e in house.ledger.events(again.id) if e.kind == "effect.adopted"]
        assert sorted(adopted) == ["candidate", "cut-over", "merge", "weight"]
        assert house.weights() == calls
