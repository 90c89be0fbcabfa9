"""Reconciler and a runnable run, in each state of the ledger, the leases and Prefect."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from tests.ledgers import accepted, policy_with

from phasegate.flows.engine import reconciler
from phasegate.flows.engine.engine import Engine
from phasegate.flows.engine.resources import ActiveRuns, Resources
from phasegate.infra.clock import FixedClock
from phasegate.infra.errors import NotFound
from phasegate.infra.identity import Person
from phasegate.infra.ledger import Gate, Ledger, Run
from phasegate.infra.settings import Settings

OURS, THEIRS = "here/1", "there/1"


class Prefect:
    """An engine whose Prefect knows the flow runs it was asked for, until it forgets them."""

    draining = False

    def __init__(self) -> None:
        self.known: dict[UUID, str] = {}
        self.rescheduled: list[UUID] = []
        self.has_place = True
        self.repairs = 0
        self.worker = self

    async def repair_prefect(self) -> None:
        self.repairs += 1

    def is_running(self, flow_run_id: UUID) -> bool:
        return False

    async def reschedule(self, flow_run_id: UUID, run_id: str) -> bool:
        if flow_run_id not in self.known:
            raise NotFound(f"Prefect has no flow run {flow_run_id}.")
        self.rescheduled.append(flow_run_id)
        return True

    async def create_flow_run(self, run_id: str, *, idempotency_key: str, name: str) -> UUID:
        for flow_run_id, key in self.known.items():
            if key == idempotency_key:
                return flow_run_id
        made = uuid4()
        self.known[made] = idempotency_key
        return made


class ReconcilerHarness:
    """A run, a ledger, and an engine that reconciles them."""

    def __init__(self, folder: Path) -> None:
        self.clock = FixedClock(datetime(2026, 11, 22, 12, tzinfo=UTC))
        self.ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}", clock=self.clock)
        self.prefect = Prefect()
        missing = cast("Any", None)
        settings = Settings(home=folder)
        self.shared = Resources(settings, self.ledger, missing, missing, missing, {}, OURS, ActiveRuns())
        self.run = self.accept("run-one")

    def accept(self, run_id: str) -> Run:
        return accepted(self.ledger, run_id, policy=policy_with(expires=timedelta(days=9_999)))

    async def look(self) -> None:
        await reconciler._reconcile_once(cast("Engine", self.prefect), self.shared)

    def begin(self) -> None:
        """Do as `run_lifecycle` does when it takes the run up."""
        self.shared.active_runs.scheduled.discard("run-one")
        self.ledger.runs.set_status("run-one", "running")

    def ask(self, *, waits: bool = True) -> Gate:
        """A gate that a person has to answer, unless an answer is at hand."""
        return self.ledger.gates.open(
            self.run,
            "prd",
            1,
            subject={"prd": "sha256:1"},
            waits=waits,
        )

    def count(self, kind: str) -> int:
        return sum(event.kind == kind for event in self.ledger.events("run-one"))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[ReconcilerHarness]:
    """An accepted run that no engine has taken."""
    made = ReconcilerHarness(tmp_path)
    yield made
    made.ledger.close()


async def test_p1_an_accepted_run_is_set_going_once_however_often_it_is_looked_at(scene: ReconcilerHarness) -> None:
    for _ in range(5):
        await scene.look()
    assert list(scene.prefect.known.values()) == ["run-one/1"]
    assert (scene.count("run.taken"), scene.count("run.recovered")) == (1, 0)


async def test_a_flow_run_that_prefect_lost_is_made_anew_under_a_fresh_key(scene: ReconcilerHarness) -> None:
    await scene.look()
    scene.begin()
    lease = scene.ledger.leases.find("run-one")
    assert lease is not None
    scene.ledger.leases.release(lease)
    scene.prefect.known.clear()
    await scene.look()
    assert list(scene.prefect.known.values()) == ["run-one/2"]
    assert scene.ledger.runs.get("run-one").flow_run_id == str(next(iter(scene.prefect.known)))
    assert scene.count("run.recovered") == 0


async def test_another_engines_run_is_left_alone_until_its_lease_runs_out(scene: ReconcilerHarness) -> None:
    scene.ledger.leases.take("run-one", THEIRS)
    scene.ledger.runs.set_status("run-one", "running")
    await scene.look()
    assert scene.prefect.known == {}
    scene.clock.advance(timedelta(minutes=2))
    await scene.look()
    assert list(scene.prefect.known.values()) == ["run-one/2"]
    assert scene.count("run.recovered") == 1


async def test_an_engine_that_was_taken_down_on_purpose_costs_no_recovery(scene: ReconcilerHarness) -> None:
    await scene.look()
    scene.begin()
    reconciler._let_go(scene.shared)
    await scene.look()
    assert (scene.count("run.recovered"), len(scene.prefect.rescheduled)) == (0, 1)


async def test_p7_recoveries_are_bounded_and_then_a_person_is_asked(scene: ReconcilerHarness) -> None:
    """P7. Mutation tried: recoveries without a bound."""
    for _ in range(12):
        await scene.look()
        if scene.ledger.runs.get("run-one").status == "needs-operator":
            break
        scene.begin()  # and is dropped: the flow run ended in Prefect without any decision
    run = scene.ledger.runs.get("run-one")
    assert (run.status, scene.count("run.recovered")) == ("needs-operator", 10)
    assert run.reason is not None
    assert (run.reason["code"], "phasegate resume run-one" in run.reason["remedy"]) == ("recoveries", True)
    before = len(scene.prefect.rescheduled)
    await scene.look()
    assert len(scene.prefect.rescheduled) == before
    scene.ledger.runs.resume("run-one", actor="bo")
    await scene.look()
    assert (len(scene.prefect.rescheduled), scene.ledger.runs.get("run-one").recoveries) == (before + 1, 0)


async def test_a_run_left_waiting_goes_on_when_its_gate_is_decided_or_has_expired(scene: ReconcilerHarness) -> None:
    await scene.look()
    scene.begin()
    gate = scene.ask()
    reconciler._let_go(scene.shared)
    await scene.look()
    assert scene.prefect.rescheduled == []
    scene.ledger.gates.decide(gate.id, "approve", Person("bo", "local"))
    scene.ledger.runs.set_status("run-one", "waiting")  # the decision came just before the flow said that it waits
    await scene.look()
    assert len(scene.prefect.rescheduled) == 1


async def test_a_run_left_waiting_is_paused_when_a_person_asks(scene: ReconcilerHarness) -> None:
    """Mutation tried: `_can_go_on` without asking for `request`: the run is paused only once its gate is decided."""
    await scene.look()
    scene.begin()
    scene.ask()
    reconciler._let_go(scene.shared)
    scene.ledger.runs.set_status("run-one", "waiting")
    await scene.look()
    assert scene.prefect.rescheduled == []
    scene.ledger.runs.ask("run-one", "pause", actor="bo")
    await scene.look()
    assert len(scene.prefect.rescheduled) == 1


@pytest.mark.parametrize("at_hand", [True, False])
async def test_p1_a_run_whose_engine_died_before_it_gave_an_answer_given_in_advance_goes_on(
    scene: ReconcilerHarness, *, at_hand: bool
) -> None:
    """Mutation tried: `Gates.open` not heeding `waits`; the run then waits for ever.

    A gate that waits for a person is left in peace, though its engine died.
    """
    await scene.look()
    scene.begin()
    scene.ask(waits=not at_hand)
    await scene.look()
    assert (len(scene.prefect.rescheduled), scene.count("run.recovered")) == (int(at_hand), int(at_hand))


async def test_no_more_runs_are_set_going_than_will_be_taken_up(scene: ReconcilerHarness) -> None:
    """Mutation tried: `_queue_is_full` always false; Prefect then reads all that is queued at each poll."""
    most = 2 * scene.shared.settings.concurrency
    for number in range(most + 3):
        scene.accept(f"run-more-{number}")
    assert [await reconciler._reconcile_once(cast("Engine", scene.prefect), scene.shared) for _ in range(3)] == [
        False
    ] * 3
    assert len(scene.prefect.known) == most
    scene.begin()
    scene.shared.active_runs.running.add("run-one")
    await scene.look()
    assert len(scene.prefect.known) == most + 1


async def test_prefect_is_looked_at_once_a_run_is_not_taken_up_though_there_is_a_place(
    scene: ReconcilerHarness,
) -> None:
    """Mutation tried: `has_place` unread; a backlog then looks at Prefect every three seconds."""
    requested: dict[str, float] = {}

    async def look() -> int:
        await reconciler._reconcile_once(cast("Engine", scene.prefect), scene.shared, requested)
        return scene.prefect.repairs

    assert [await look(), await look()] == [0, 0]
    requested["run-one"] -= 10
    scene.prefect.has_place = False
    assert await look() == 0
    requested["run-one"] -= 10
    scene.prefect.has_place = True
    assert [await look(), await look()] == [1, 1]


async def test_what_waits_for_a_person_is_not_even_looked_at(scene: ReconcilerHarness) -> None:
    """Mutation tried: `wanting` without `not_(left)`; 500 that wait then cost half a second of every second."""
    await scene.look()
    scene.begin()
    gate = scene.ask()
    reconciler._let_go(scene.shared)
    scene.ledger.runs.set_status("run-one", "waiting")
    assert scene.ledger.leases.runnable() == []
    scene.clock.advance(timedelta(days=10_000))
    assert [run.id for run in scene.ledger.leases.runnable()] == ["run-one"]
    assert gate.status == "open"


async def test_a_run_that_rests_is_left_alone_until_its_moment(scene: ReconcilerHarness) -> None:
    """Mutation tried: `runnable` without `due`; the run is then taken up at once, each second."""
    scene.ledger.runs.set_status("run-one", "running", wake_at=scene.clock.now() + timedelta(hours=1))
    await scene.look()
    assert scene.count("run.taken") == 0
    scene.clock.advance(timedelta(hours=1))
    await scene.look()
    assert scene.count("run.taken") == 1


async def test_a_run_that_rests_is_taken_up_when_a_person_asks_something_of_it(scene: ReconcilerHarness) -> None:
    scene.ledger.runs.set_status("run-one", "running", wake_at=scene.clock.now() + timedelta(hours=1))
    scene.ledger.runs.ask("run-one", "cancel", actor="ana")
    await scene.look()
    assert scene.count("run.taken") == 1


async def test_a_run_that_is_measured_on_beside_its_gate_is_taken_up_by_the_next_engine(
    scene: ReconcilerHarness,
) -> None:
    """Mutation tried: `waits` without `wake_at`; the run is then not measured until a person has decided."""
    await scene.look()
    scene.begin()
    gate = scene.ask(waits=False)
    scene.ledger.runs.set_status("run-one", "waiting", wake_at=gate.opened_at)
    reconciler._let_go(scene.shared)
    await scene.look()
    assert len(scene.prefect.rescheduled) == 1
