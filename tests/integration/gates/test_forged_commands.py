"""Runs that somebody would end, pause or put back behind their people's back: they go on, and audit names it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.crash.scenes import SCENES, CrashScenario, write_project
from tests.ledgers import forge
from tests.support.lifecycle import LifecycleHarness, approve, open_lifecycle

from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.pipeline import pipeline
from phasegate.flows.lifecycle.runner import run_lifecycle
from phasegate.infra.errors import TrailBroken
from phasegate.infra.ledger import Gate, Ledger, Run
from phasegate.infra.ledger.events import EventKind

POLICY = """[lifecycle]
stages = ["prd", "implementation", "testing"]
[roles]
ops = ["olga"]
[commands]
cancel = ["ops"]
rollback = ["ops"]
pause = ["ops"]
resume = ["ops"]
rewind = ["ops"]
"""


@pytest.fixture
async def house(tmp_path: Path) -> AsyncGenerator[LifecycleHarness]:
    """A machine with a project whose commands are given by Olga alone."""
    ships = SCENES["ships"]
    write_project(tmp_path, CrashScenario("commands", "done", policy=ships.policy + POLICY, stages=ships.stages))
    async with open_lifecycle(tmp_path) as house:
        yield house


def append(house: LifecycleHarness, run_id: str, kind: EventKind, actor: str = "eve", **payload: Any) -> None:
    """Append a command of somebody's."""
    forge(house.shared.settings.database_url, run_id, kind, actor, payload)


FORGED: dict[EventKind, dict[str, Any]] = {
    EventKind.RUN_CANCEL_REQUESTED: {},
    EventKind.RUN_ROLLBACK_REQUESTED: {},
    EventKind.RUN_PAUSE_REQUESTED: {},
    EventKind.RUN_REWIND_REQUESTED: {"checkpoint": 1},
}


def refusals(house: LifecycleHarness, run: Run) -> list[str]:
    """The commands that were refused."""
    return [event.payload["command"] for event in house.ledger.events(run.id, kinds=(EventKind.COMMAND_REFUSED,))]


def once(attack: Callable[[], object]) -> Callable[[Ledger, Gate], object]:
    """Attack at the first wait, and approve at the next."""
    left = [attack]

    def answer(ledger: Ledger, gate: Gate) -> object:
        return left.pop()() if left else approve(ledger, gate)

    return answer


@pytest.mark.parametrize("kind", FORGED)
async def test_a_forged_command_does_not_end_a_run_that_waits(house: LifecycleHarness, kind: EventKind) -> None:
    """Given while the run waits at its first gate. Mutation tried: `raise_if_interrupted` reads the run's row."""
    run = house.kick_off()
    house.answers["prd"] = once(lambda: append(house, run.id, kind, **FORGED[kind]))
    assert (await house.carry(run)).status == "done"
    assert len(refusals(house, run)) == 1
    assert [gate.status for gate in house.ledger.gates.list(run.id)] == ["approved", "approved"]
    with pytest.raises(TrailBroken, match="eve may not"):
        house.ledger.audit(run.id)


@pytest.mark.parametrize("kind", FORGED)
async def test_a_forged_command_wakes_no_run_that_is_done(house: LifecycleHarness, kind: EventKind) -> None:
    """Mutation tried: `_run_pipeline` without `settle`."""
    done = await house.run()
    before = len(house.kinds(done))
    append(house, done.id, kind, **FORGED[kind])
    stands = await house.carry(done)
    assert stands.model_copy(update={"finished_at": done.finished_at}) == done
    assert stands.finished_at is not None
    assert "run.running" not in house.kinds(done)[before:]
    assert [effect.status for effect in house.ledger.effects.list(done.id)] == ["done"]
    assert refusals(house, done) == [kind.removeprefix("run.").removesuffix("-requested")]


def alter(house: LifecycleHarness, run: Run) -> None:
    """Write the request into the row, and have the next event vouch for it."""
    with sqlite3.connect(house.shared.settings.ledger) as database:
        database.execute("UPDATE runs SET request = 'cancel'")
    database.close()
    house.ledger.runs.recovered(run.id)


async def test_a_row_that_says_cancel_ends_no_run(house: LifecycleHarness) -> None:
    """Mutation tried: `request` returns what the row says."""
    run = house.kick_off()
    house.answers["prd"] = once(lambda: alter(house, run))
    assert (await house.carry(run)).status == "done"
    assert refusals(house, run) == ["cancel"]


async def test_a_forged_command_at_the_last_moment_does_not_keep_a_run_from_its_end(house: LifecycleHarness) -> None:
    """Mutation tried: `_complete` raises again."""
    run = house.kick_off()

    async def cancelled_last(context: RunContext) -> None:
        await pipeline(context)
        append(house, run.id, EventKind.RUN_CANCEL_REQUESTED)

    await run_lifecycle(run.id, cancelled_last, house)
    assert (house.ledger.runs.get(run.id).status, refusals(house, run)) == ("done", ["cancel"])


async def test_a_forged_resume_sets_no_paused_run_going(house: LifecycleHarness) -> None:
    """Mutation tried: `Standing` takes every resume."""
    run = house.kick_off()
    house.answering = False
    house.ledger.runs.ask(run.id, "pause", actor="olga")
    assert (await house.carry(run)).status == "paused"
    append(house, run.id, EventKind.RUN_RESUMED)
    assert (await house.carry(run)).status == "paused"
    assert (refusals(house, run), house.ledger.runs.get(run.id).request) == (["resume"], "pause")
    house.answering = True
    house.ledger.runs.resume(run.id, actor="olga")
    assert (await house.carry(run)).status == "done"


async def test_whom_policy_names_cancels(house: LifecycleHarness) -> None:
    run = house.kick_off()
    house.answers["prd"] = once(lambda: house.ledger.runs.ask(run.id, "cancel", actor="olga"))
    assert (await house.carry(run)).status == "cancelled"
    house.ledger.audit(run.id)
