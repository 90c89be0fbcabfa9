"""P3 and P6: effects are recorded first, made once, undone newest first, and never past a pivot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from phasegate.flows.lifecycle import saga
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.saga import Facts, Intent, perform, roll_back
from phasegate.infra.artifacts import Artifact
from phasegate.infra.errors import CompensationFailed, DeployFailed, PastPivot, TemporaryError
from phasegate.infra.ledger import Effect, EffectClass, Ledger, RunOptions


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
        effect = run.shared.ledger.effects.find(key)
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


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunContext]:
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
    yield RunContext(accepted, cast("Any", SimpleNamespace(ledger=ledger)))
    ledger.close()


def intent(name: str, kind: str = "thing") -> Intent:
    return Intent(kind, name, {"name": name}, f"take {name} back")


def statuses(run: RunContext) -> list[str]:
    return [effect.status for effect in run.shared.ledger.effects.list(run.run.id)]


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
    undone = [(effect.undone_at, effect.key) for effect in run.shared.ledger.effects.list(run.run.id)]
    assert [key for _, key in sorted(undone)] == ["run-one/c", "run-one/b", "run-one/a"]


async def test_one_that_fails_stops_the_rollback_loudly_and_it_goes_on_from_there(
    run: RunContext, world: World
) -> None:
    for name in ("a", "b", "c"):
        await perform(run, intent(name))
    world.fails += [DeployFailed("c is stuck", remedy="Unstick c.")]
    with pytest.raises(CompensationFailed, match=r"c is stuck\nUnstick c.*rollback run-one"):
        await roll_back(run)
    assert statuses(run) == ["done", "done", "stuck"]
    await roll_back(run)
    assert (statuses(run), world.made) == (["undone"] * 3, [])


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
    with pytest.raises(PastPivot, match=r"migration cannot be undone.*\n.*resume run-one"):
        await roll_back(run)
    assert (statuses(run), world.made) == (["done"] * 3, ["a", "b", "c"])
