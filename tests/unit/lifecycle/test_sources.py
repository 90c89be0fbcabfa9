"""Both sources of a run: the live one asks the world, the recorded one never does."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.ledgers import Thing, accepted

from phasegate.agents.loop import NoBudget
from phasegate.flows.engine.executor import InProcessExecutor
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.intent import Intent
from phasegate.flows.lifecycle.replay.live import LiveSource
from phasegate.flows.lifecycle.replay.recorded import RecordedSource
from phasegate.flows.lifecycle.replay.source import RunSource
from phasegate.flows.lifecycle.signals import RecordingExhausted, SubjectStale
from phasegate.flows.runs.inputs import StoredPolicy
from phasegate.infra.errors import QuestionAsked, RehearsalDeparted
from phasegate.infra.identity import Person
from phasegate.infra.ledger import Attempt, Decision, Effect, Ledger, Origin, Run
from phasegate.infra.policy.model import Policy
from phasegate.infra.secrets import Secrets


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger with run `original`."""
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    accepted(ledger, "original")
    yield ledger
    ledger.close()


def context(ledger: Ledger, mode: str = "", stage: str = "deployment") -> RunContext:
    """A run, or a replay or rehearsal of `original`."""
    origin = Origin(run="original", stage=stage, mode=cast("Any", mode)) if mode else None
    policy = StoredPolicy(policy=Policy.model_validate({"deploy": {"start": "serve {port}"}}))
    run = accepted(ledger, f"run-{mode or 'new'}", origin=origin, policy=policy)
    return over(ledger, run)


def over(ledger: Ledger, run: Run) -> RunContext:
    """A run's context with a ledger, and nothing else."""
    return RunContext(run, cast("Any", SimpleNamespace(ledger=ledger, secrets=Secrets.of({}))), InProcessExecutor())


@pytest.fixture
def live(ledger: Ledger) -> RunSource:
    """The source of a run without an origin."""
    return context(ledger).source


@pytest.fixture
def recorded(ledger: Ledger) -> RunSource:
    """The source of a rehearsal of `original`."""
    return context(ledger, "rehearse", "prd").source


class World:
    """A world that counts how often it is asked."""

    def __init__(self) -> None:
        """Nobody has asked."""
        self.asked = 0

    async def __call__(self) -> Any:
        """Answer."""
        self.asked += 1
        return {"from": "the world"}


def made_effect(ledger: Ledger, name: str = "merge", kind: str = "merge", **intent: Any) -> Effect:
    """An effect that `original` made."""
    effect = ledger.effects.intend(
        "original", kind, f"original/{name}", intent=intent, compensation="revert it", effect_class="compensable"
    )
    return ledger.effects.done(effect, {"from": "the record"})


def gate(ledger: Ledger, run: Run) -> Any:
    return ledger.gates.open(
        run,
        "prd",
        1,
        subject={"prd": "sha256:1"},
    )


def attempt_of(ledger: Ledger, run_id: str, *, finished: bool = False, **changes: Any) -> Attempt:
    """An attempt at the PRD."""
    asked: dict[str, Any] = {
        "stage": "prd",
        "part": "",
        "number": 1,
        "inputs": {},
        "model": "",
        "prompt": "",
        **changes,
    }
    stage, part, number = (asked.pop(name) for name in ("stage", "part", "number"))
    row, lease = ledger.attempts.begin(run_id, stage, part, number, holder="here", **asked)
    assert lease is not None
    return ledger.attempts.finish(row, lease, Thing(name="prd")) if finished else row


def raising(error: Exception) -> Callable[[Attempt], Awaitable[Any]]:
    async def work(_row: Attempt) -> Any:
        raise error

    return work


@pytest.mark.parametrize(("mode", "kind"), [("", LiveSource), ("replay", LiveSource), ("rehearse", RecordedSource)])
def test_the_context_chooses_by_the_mode_of_the_origin(ledger: Ledger, mode: str, kind: type[RunSource]) -> None:
    """Mutation tried: any origin makes a run a rehearsal."""
    assert type(context(ledger, mode).source) is kind


def test_only_the_context_asks_for_the_mode(root: Path) -> None:
    """Mutation tried: a stage that asks for `rehearsed_run`."""
    lifecycle = root / "flows/phasegate/flows/lifecycle"
    asking = [
        path.name
        for path in lifecycle.rglob("*.py")
        if re.search(r"\.mode\b|is_rehearsal\b|rehearsed_run\b", path.read_text())
    ]
    assert asking == ["context.py"]


async def test_the_live_source_asks_the_world_for_everything(live: RunSource) -> None:
    """Mutation tried: `current` of the live source returns the recorded state."""
    world = World()
    await live.decide("prd", 1, world)
    await live.perform(Intent("merge", "merge", {}, ""), world)
    await live.measure(world)
    assert await live.current(world, recorded={"from": "the record"}) == {"from": "the world"}
    await live.observe("prd", "name", world)
    assert world.asked == 5
    assert live.can_observe("anything")
    assert not live.adopts("prd")
    assert live.done_reason is None


async def test_the_recorded_source_asks_the_world_for_nothing(ledger: Ledger, recorded: RunSource) -> None:
    """Mutation tried: `measure` of the recorded source takes the measurement."""
    world = World()
    for answer in (
        recorded.decide("prd", 1, world),
        recorded.perform(Intent("merge", "merge", {}, ""), world),
        recorded.measure(world),
    ):
        with pytest.raises(RecordingExhausted):
            await answer
    assert await recorded.current(world, recorded="as it was") == "as it was"
    made_effect(ledger)
    result = await recorded.perform(Intent("merge", "merge", {}, ""), world)
    assert result == {"from": "the record"}
    assert ledger.effects.list("run-rehearse") == []
    assert world.asked == 0
    assert recorded.adopts("monitoring")
    assert isinstance(recorded.budget(), NoBudget)


async def test_a_recorded_decision_answers_a_gate(ledger: Ledger, recorded: RunSource) -> None:
    row = gate(ledger, ledger.runs.get("original"))
    with pytest.raises(RecordingExhausted):
        await recorded.decide("prd", 1, cast("Callable[[], Awaitable[Decision]]", World()))
    ledger.gates.decide(row.id, "approve", Person("bo", "local"), note="go")
    decision = await recorded.decide("prd", 1, cast("Callable[[], Awaitable[Decision]]", World()))
    assert (decision.verdict, decision.note) == ("approve", "go")
    assert ledger.gates.list("run-rehearse") == []


async def test_a_round_that_was_stale_then_is_stale_again(ledger: Ledger, recorded: RunSource) -> None:
    """Mutation tried: outdated rows are skipped; the rehearsal then ends there."""
    row = gate(ledger, ledger.runs.get("original"))
    ledger.gates.mark_stale(row, "the world moved")
    with pytest.raises(SubjectStale, match="the world moved"):
        await recorded.decide("prd", 1, cast("Callable[[], Awaitable[Decision]]", World()))


async def test_an_observation_of_the_original_is_taken_over(ledger: Ledger, recorded: RunSource) -> None:
    """Mutation tried: `adopts` of the recorded source compares stages."""
    world = World()
    assert not recorded.can_observe("base")
    original = over(ledger, ledger.runs.get("original"))
    await original.source.observe("monitoring", "base", world)
    assert recorded.can_observe("base")
    assert recorded.recorded("monitoring", "base") == {"from": "the world"}
    assert await recorded.observe("monitoring", "base", world) == {"from": "the world"}
    assert world.asked == 1
    assert recorded.observed_names() == ["base"]


async def test_a_replay_takes_over_what_was_observed_before_its_stage_only(ledger: Ledger) -> None:
    """Mutation tried: `adopts` of the live source with `<=`."""
    world = World()
    original = over(ledger, ledger.runs.get("original"))
    replayed = context(ledger, "replay", "deployment").source
    for stage in ("testing", "deployment"):
        await original.source.observe(stage, f"{stage}/1", world)
        await replayed.observe(stage, f"{stage}/1", world)
    assert world.asked == 3
    assert [replayed.adopts(stage) for stage in ("prd", "testing", "deployment", "unknown")] == [
        True,
        True,
        False,
        False,
    ]


async def test_a_replay_adopts_the_merge_and_makes_the_release(ledger: Ledger) -> None:
    """Mutation tried: every effect belongs to the deployment."""
    world = World()
    made_effect(ledger, change="sha256:1")
    made_effect(ledger, "candidate", "candidate")
    replayed = context(ledger, "replay", "deployment").source
    assert replayed.has_effect(Intent("merge", "merge", {"change": "sha256:1"}, ""))
    assert not replayed.has_effect(Intent("merge", "merge", {"change": "sha256:2"}, ""))
    merged = await replayed.perform(Intent("merge", "merge", {"change": "sha256:1"}, ""), world)
    started = await replayed.perform(Intent("candidate", "candidate", {}, ""), world)
    assert (merged, started) == ({"from": "the record"}, {"from": "the world"})


async def test_a_replay_adopts_attempts_of_the_same_inputs(ledger: Ledger) -> None:
    """Mutation tried: inputs are not compared."""
    attempt_of(ledger, "original", finished=True, inputs={"ticket": "sha256:1"})
    replayed = context(ledger, "replay", "deployment").source
    assert replayed.adopt(Thing, "prd", "", 1, {"ticket": "sha256:2"}) is None
    assert replayed.adopt(Thing, "prd", "", 1, {"ticket": "sha256:1"}) == Thing(name="prd")
    assert [row.origin for row in ledger.attempts.list("run-replay")] == ["original/prd/1"]


async def test_a_rehearsal_adopts_measurements_only(ledger: Ledger, recorded: RunSource) -> None:
    """Mutation tried: a rehearsal adopts whatever finished; no request is then compared."""
    attempt_of(ledger, "original", finished=True)
    attempt_of(ledger, "original", finished=True, stage="monitoring", part="measuring")
    assert recorded.adopt(Thing, "prd", "", 1, {}) is None
    assert recorded.adopt(Thing, "monitoring", "measuring", 1, {}) == Thing(name="prd")


async def test_a_rehearsed_agent_that_needs_a_person_has_come_to_the_end(
    ledger: Ledger, live: RunSource, recorded: RunSource
) -> None:
    """Mutation tried: the recorded source lets the need pass; a person is then asked."""
    need = QuestionAsked("which greeting?")
    row = attempt_of(ledger, "run-rehearse")
    with pytest.raises(RecordingExhausted):
        await recorded.attempt(row, raising(need))
    with pytest.raises(QuestionAsked):
        await live.attempt(row, raising(need))


@pytest.mark.parametrize("finished", [True, False])
async def test_a_request_that_is_not_recorded_departs_unless_the_record_ended(
    ledger: Ledger, recorded: RunSource, finished: bool
) -> None:
    """Mutation tried: a finished original counts as ended; a departure is then never seen."""
    attempt_of(ledger, "original", finished=finished)
    row = attempt_of(ledger, "run-rehearse")
    with pytest.raises(RehearsalDeparted if finished else RecordingExhausted):
        await recorded.attempt(row, raising(RehearsalDeparted("another request")))


def test_a_rehearsal_accepts_the_drafts_of_then(live: RunSource, recorded: RunSource) -> None:
    def check(draft: str) -> str:
        return f"{draft} is wrong"

    assert live.draft_check(check)("it") == "it is wrong"
    assert recorded.draft_check(check)("it") == ""


def test_a_rehearsal_may_try_as_often_as_its_original(ledger: Ledger, recorded: RunSource) -> None:
    """Mutation tried: only the rehearsal's own grants count."""
    assert recorded.extra_attempts == 0
    ledger.runs.set_status("original", "needs-operator")
    ledger.runs.resume("original", actor="ana")
    granted = ledger.runs.get("original").grants
    assert granted > 0
    assert recorded.extra_attempts == granted


def test_the_attempt_that_people_were_asked_about(ledger: Ledger, live: RunSource, recorded: RunSource) -> None:
    original, row = attempt_of(ledger, "original"), attempt_of(ledger, "run-rehearse")
    assert recorded.original(row).id == original.id
    assert live.original(row) is row
