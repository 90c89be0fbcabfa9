"""Read this tenth: recovery, which is what the ledger, the keys and the leases of the other chapters are for.

An engine may be killed between any two instructions. The run then stands in the ledger, and its lease with it.
The next engine takes the lease and runs the pipeline from the top. Each line finds what it has done before: a
finished attempt, an answered turn, a decision, an effect. So the run continues from where it was, and costs nothing
twice. An engine here is a child process that kills itself at a point of `infra/phasegate/infra/crash_points.py`.
In an installation `flows/phasegate/flows/engine/reconciler.py` takes such runs up. `tests/crash` tries every point.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.ledgers import accepted
from tests.support.greeter import NO_ERRORS, POLICY, calls, implementation, write_greeter
from tests.support.killed_engine import run_until_killed
from tests.support.lifecycle import LifecycleHarness, open_lifecycle
from tests.support.repositories import git

from phasegate.infra.clock import FixedClock
from phasegate.infra.errors import LeaseHeld
from phasegate.infra.ledger import Ledger
from phasegate.infra.settings import Settings

KILLED = -9
UNTIL_MERGED = '[lifecycle]\nstages = ["prd", "implementation"]\n'
"""Policy that ends the run with the merge of the change."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository, a ticket, and the answers of the agents: two turns for the PRD, three for the change."""
    appends = calls("run", command="echo one line >> notes.txt")
    stages = {"implementation": [appends, *implementation("Good day")]}
    write_greeter(tmp_path, policy=POLICY + NO_ERRORS + UNTIL_MERGED, stages=stages)
    return tmp_path


@asynccontextmanager
async def next_engine(folder: Path) -> AsyncGenerator[LifecycleHarness]:
    """The engine that is started after one was killed: it knows that its predecessor on this machine is gone."""
    async with open_lifecycle(folder) as harness:
        harness.ledger.leases.expire_previous(harness.shared.holder)
        yield harness


def text_in_worktree(folder: Path, name: str) -> str:
    """Content of a file in the folder where the agent works."""
    (file,) = folder.rglob(f"work/{name}")
    return file.read_text()


@pytest.mark.parametrize(
    "point",
    [
        "after:run.accepted",
        "before:attempt.finished",
        "after:gate.opened",
        "before:gate.decided:2",
        "after:effect.intended",
        "after:make:merge",
        "before:run.done",
    ],
)
async def test_a_run_ends_as_if_nothing_had_happened_wherever_its_engine_was_killed(folder: Path, point: str) -> None:
    """A person who closes the laptop at the wrong moment finds one merge in the evening: not two, and not none."""
    assert run_until_killed(folder, point) == KILLED
    async with next_engine(folder) as engine:
        run = await engine.carry(engine.only_run())
        assert run.status == "done", run.reason
        made = [(one.stage, one.number, one.status) for one in engine.ledger.attempts.list(run.id)]
        assert made == [("prd", 1, "finished"), ("implementation", 1, "finished")]
        assert [(one.gate, one.status) for one in engine.ledger.gates.list(run.id)] == [
            ("prd", "approved"),
            ("change", "approved"),
        ]
        assert [(one.kind, one.status) for one in engine.ledger.effects.list(run.id)] == [("merge", "done")]
        engine.ledger.audit(run.id)
    top = folder / "greeter"
    assert git(top, "rev-list", "--merges", "--count", "phasegate/main") == "1"
    assert git(top, "show", "phasegate/main:greeting.txt") == "Good day"
    assert git(top, "status", "--porcelain") == ""


async def test_a_run_is_accepted_as_a_whole_or_not_at_all(folder: Path) -> None:
    """A person who gets a run's id may go home. Killed before that, the command has left nothing behind."""
    assert run_until_killed(folder, "before:run.accepted") == KILLED
    async with next_engine(folder) as engine:
        assert engine.ledger.runs.list() == []


async def test_a_killed_run_is_found_by_the_next_engine(folder: Path) -> None:
    """Nobody has to remember which runs were under way: the ledger lists those that have something to do."""
    assert run_until_killed(folder, "after:attempt.started") == KILLED
    async with next_engine(folder) as engine:
        assert engine.only_run().status == "running"
        assert engine.ledger.leases.runnable() == [engine.only_run()]
        await engine.carry(engine.only_run())
        assert engine.ledger.leases.runnable() == []


async def test_a_model_call_that_was_answered_is_not_paid_for_again(folder: Path) -> None:
    """The engine dies in the third turn of the change, so the next one asks for that turn only."""
    assert run_until_killed(folder, "before:turn.answered:5") == KILLED
    async with next_engine(folder) as engine:
        run = await engine.carry(engine.only_run())
        assert run.status == "done", run.reason
        assert engine.turns(run) == {"implementation/1": 1}
        turns = [(one.attempt_id.removeprefix(run.id), one.turn) for one in engine.ledger.exchanges.list(run.id)]
        assert turns == [
            ("/prd/1", 1),
            ("/prd/1", 2),
            ("/implementation/1", 1),
            ("/implementation/1", 2),
            ("/implementation/1", 3),
        ]


async def test_files_of_a_turn_that_was_cut_off_are_put_back_before_it_is_done_again(folder: Path) -> None:
    """The agent's command has appended its line already, and will do so again: in the end there is one line."""
    assert run_until_killed(folder, "before:attempt.checkpointed") == KILLED
    assert text_in_worktree(folder, "notes.txt") == "one line\n"
    async with next_engine(folder) as engine:
        run = await engine.carry(engine.only_run())
        assert run.status == "done", run.reason
    assert git(folder / "greeter", "show", "phasegate/main:notes.txt") == "one line"


async def test_a_person_who_has_decided_is_not_asked_again(folder: Path) -> None:
    """A decision counts from the moment it is in the ledger, whether or not the engine lived to act on it."""
    assert run_until_killed(folder, "after:gate.decided") == KILLED
    async with next_engine(folder) as engine:
        run = await engine.carry(engine.only_run())
        assert run.status == "done", run.reason
        assert [key.split(":")[1] for key in engine.gates] == ["change"]


@pytest.fixture
def clock() -> FixedClock:
    """A clock that the test moves."""
    return FixedClock(datetime(2026, 11, 30, 12, tzinfo=UTC))


@pytest.fixture
def ledger(tmp_path: Path, clock: FixedClock) -> Iterator[Ledger]:
    """A ledger that two machines share."""
    with closing(Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock)) as ledger:
        yield ledger


def test_another_machine_takes_a_run_once_its_lease_has_run_out(ledger: Ledger, clock: FixedClock) -> None:
    """No machine can know whether another is dead or slow. A lease that is not renewed answers that after a while."""
    run, lease_lasts = accepted(ledger), Settings(home=Path()).lease
    ledger.leases.take(run.id, "here/engine")
    clock.advance(lease_lasts - timedelta(seconds=1))
    with pytest.raises(LeaseHeld, match="here/engine owns"):
        ledger.leases.take(run.id, "there/engine")
    clock.advance(timedelta(seconds=2))
    assert ledger.leases.take(run.id, "there/engine").holder == "there/engine"


def test_an_engine_that_was_only_slow_can_write_no_more(ledger: Ledger, clock: FixedClock) -> None:
    """It comes back and believes that it still has the run. If it could go on, two engines would merge."""
    run = accepted(ledger)
    slow = ledger.fenced(ledger.leases.take(run.id, "here/engine"))
    slow.runs.set_status(run.id, "running")
    clock.advance(timedelta(hours=1))
    ledger.leases.take(run.id, "there/engine")
    with pytest.raises(LeaseHeld):
        slow.effects.intend(run.id, "merge", f"{run.id}/merge", intent={}, compensation="revert the merge")
    with pytest.raises(LeaseHeld):
        slow.runs.set_status(run.id, "done")
    assert (ledger.runs.get(run.id).status, ledger.effects.list(run.id)) == ("running", [])
