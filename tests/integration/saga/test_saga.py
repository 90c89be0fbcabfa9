"""P3 and P6: effects are recorded first, made once, undone newest first, and never past a pivot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, TypeVar, cast

import pytest
from typing_extensions import override

from phasegate.flows.engine.executor import InProcessExecutor
from phasegate.flows.engine.wakeups import Decided
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.effects import saga
from phasegate.flows.lifecycle.effects.performers import Facts
from phasegate.flows.lifecycle.effects.saga import perform, roll_back
from phasegate.flows.lifecycle.intent import Intent
from phasegate.infra.artifacts import Artifact
from phasegate.infra.errors import CompensationFailed, DeployFailed, PastPivot, TemporaryError
from phasegate.infra.ledger import Effect, EffectClass, Ledger, RunOptions
from phasegate.infra.settings import Settings

Result = TypeVar("Result")


class Paper(Artifact):
    """Stands for ticket and policy."""

    kind: ClassVar[str] = "paper"


class Busy(TemporaryError):
    """The world is busy."""


@dataclass
class World:
    """A performer whose world is a list; `fails` says what undoing an effect runs into, try by try."""

    effect_class: ClassVar[EffectClass] = "compensable"
    made: list[str] = field(default_factory=list)
    fails: list[Exception] = field(default_factory=list)
    ledger_at_make: list[str] = field(default_factory=list)

    async def make(self, run: RunContext, key: str, intent: Mapping[str, Any]) -> Facts:
        """Make it, noting what the ledger says at that moment."""
        effect = run.ledger.effects.find(key)
        self.ledger_at_make.append(f"{effect.status}: {effect.compensation}" if effect else "nothing")
        self.made.append(str(intent["name"]))
        return {"made": intent["name"]}

    async def undo(self, run: RunContext, effect: Effect) -> Facts:
        """Undo it, or fail as told."""
        if self.fails:
            raise self.fails.pop(0)
        self.made.remove(str(effect.intent["name"]))
        return {}


class Migration(World):
    """Cannot be undone."""

    effect_class: ClassVar[EffectClass] = "pivot"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """The performers of these tests, without waiting between tries."""
    world = World()
    migration = Migration(world.made, world.fails, world.ledger_at_make)
    monkeypatch.setattr(saga, "PERFORMERS", {"thing": world, "migration": migration})
    monkeypatch.setattr(saga, "_BETWEEN_TRIES", timedelta(0))
    return world


@dataclass
class Shown(InProcessExecutor):
    """Carries a run in this process, and notes what Prefect would show."""

    names: list[str] = field(default_factory=list)

    @override
    async def run_stage(self, name: str, number: int, work: Callable[[], Awaitable[Result]]) -> Result:
        self.names.append(f"{name} #{number}")
        return await work()

    @override
    async def run_subflow(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self.names.append(f"flow {name}")
        await work()

    @override
    async def publish_artifact(self, key: str, *, markdown: str, description: str) -> None:
        raise AssertionError("nothing is made here")

    @override
    async def wait_until(
        self, key: str, *, run_id: str, decided: Decided, settings: Settings, in_process: bool = False
    ) -> None:
        raise AssertionError("a rollback waits for nobody")


@pytest.fixture
def shown() -> Shown:
    """The executor that notes what Prefect would show."""
    return Shown()


@pytest.fixture
def run(tmp_path: Path, shown: Shown) -> Iterator[RunContext]:
    """A run with a ledger, and nothing else."""
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    accepted = ledger.runs.accept(
        "run-one",
        title="t",
        ticket=Paper(),
        policy=Paper(),
        repository="/srv/x",
        base_branch="main",
        base_commit="c",
        requester="ana",
        options=RunOptions(),
        definition="1",
    )
    yield RunContext(accepted, cast("Any", SimpleNamespace(ledger=ledger)), shown)
    ledger.close()


def intent(name: str, kind: str = "thing") -> Intent:
    return Intent(kind, name, {"name": name}, f"take {name} back")


def statuses(run: RunContext) -> list[str]:
    return [effect.status for effect in run.ledger.effects.list(run.id)]


async def test_the_compensation_is_on_disk_before_the_effect(run: RunContext, world: World) -> None:
    """Mutation tried: calling `make` before `intend` makes this fail."""
    await perform(run, intent("a"))
    assert world.ledger_at_make == ["intended: take a back"]


async def test_an_effect_is_made_once(run: RunContext, world: World) -> None:
    assert await perform(run, intent("a")) == await perform(run, intent("a")) == {"made": "a"}
    assert world.made == ["a"]


async def test_what_was_undone_is_not_made_again_by_another_walk(run: RunContext, world: World) -> None:
    await perform(run, intent("a"))
    await roll_back(run)
    await perform(run, intent("a"))
    assert (world.made, statuses(run)) == ([], ["undone"])


async def test_effects_are_undone_newest_first_and_retried(run: RunContext, world: World) -> None:
    for name in ("a", "b", "c"):
        await perform(run, intent(name))
    world.fails += [Busy(), Busy()]
    await roll_back(run)
    undone = [(effect.undone_at, effect.key) for effect in run.ledger.effects.list(run.id)]
    assert [key for _, key in sorted(undone)] == ["run-one/c", "run-one/b", "run-one/a"]


async def test_one_that_fails_stops_the_rollback_loudly_and_it_goes_on_from_there(
    run: RunContext, world: World
) -> None:
    """P6. Untried mutation: the error is logged instead of raised; the older effects are then undone around it."""
    for name in ("a", "b", "c"):
        await perform(run, intent(name))
    world.fails += [DeployFailed("c is stuck", remedy="Unstick c.")]
    with pytest.raises(CompensationFailed, match=r"c is stuck\nUnstick c.*resume run-one"):
        await roll_back(run)
    assert statuses(run) == ["done", "done", "stuck"]
    await roll_back(run)
    assert (statuses(run), world.made) == (["undone"] * 3, [])


async def test_a_rollback_is_a_flow_of_its_own_with_a_task_per_try(run: RunContext, world: World, shown: Shown) -> None:
    for name in ("a", "b"):
        await perform(run, intent(name))
    world.fails += [Busy()]
    await roll_back(run)
    await roll_back(run)
    assert shown.names == ["flow rollback run-one", "undo thing #1", "undo thing #2", "undo thing #1"]


async def test_why_it_goes_back_is_on_record_before_anything_is_undone_and_stays(run: RunContext, world: World) -> None:
    """P6. Untried mutation: `begin_rollback` after the effects; a rollback cut off has then forgotten how it ends."""
    effects = run.ledger.effects
    ending = {"status": "rejected", "reason": {"code": "rejected"}}
    await roll_back(run, ending=ending)
    assert effects.rollback("run-one") is None
    await perform(run, intent("a"))
    world.fails += [DeployFailed("a is stuck")]
    with pytest.raises(CompensationFailed):
        await roll_back(run, ending=ending)
    await roll_back(run, ending={"status": "rolled-back", "reason": {}})
    begun = effects.rollback("run-one")
    assert begun is not None
    assert (begun["status"], statuses(run)) == ("rejected", ["undone"])
    kinds = [event.kind for event in run.ledger.events("run-one")]
    assert kinds.count("rollback.began") == 1
    assert kinds.index("rollback.began") < kinds.index("effect.stuck")


async def test_a_try_too_many_is_a_failure(run: RunContext, world: World) -> None:
    await perform(run, intent("a"))
    world.fails += [Busy(), Busy(), Busy()]
    with pytest.raises(CompensationFailed):
        await roll_back(run)


async def test_past_a_pivot_nothing_is_undone(run: RunContext, world: World) -> None:
    """Mutation tried: undoing what came after the pivot leaves `c` undone."""
    await perform(run, intent("a"))
    await perform(run, intent("b", kind="migration"))
    await perform(run, intent("c"))
    with pytest.raises(PastPivot, match=r"Migration is made and cannot be undone.*\n.*resume run-one"):
        await roll_back(run)
    assert (statuses(run), world.made) == (["done"] * 3, ["a", "b", "c"])
