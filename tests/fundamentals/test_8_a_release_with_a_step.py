"""Read this eighth: a release, which brings a merged change to its users in steps, and takes it away from them again.

An agent drafts a plan and a person approves it; the rest is code. A candidate starts next to the release that serves.
It gets a share of the traffic, and a metric is measured on it. What the metric says decides: on to the next step, back
to the old release, or to a person at gate `promotion`. At the cut-over the candidate becomes the release, and is
measured again. Each act on the world is an effect, so a rollback undoes all of it.
The stage is `flows/phasegate/flows/lifecycle/stages/deployment.py`, the steps are in `lifecycle/rollout/`. The world
here is a file: a script stands for the team's own commands (`tests/support/ops.py`), another file for the metric.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_target import OPS, calls
from tests.support.greeter import QUICK_GRADES, write_greeter
from tests.support.lifecycle import LifecycleHarness, approve, open_lifecycle, reject
from tests.support.repositories import git

from phasegate.infra.ledger import Gate, Ledger, Run

GOOD, UNCLEAR, BAD = 0.0, 0.03, 0.2
"""Error rates."""

POLICY = (
    QUICK_GRADES
    + """[deploy]
target = "command"
[deploy.commands]
deploy = "@ops@"
weight = "@ops@"
promote = "@ops@"
rollback = "@ops@"
status = "@ops@"
[[deploy.steps]]
set_weight = 25
[[deploy.steps]]
analysis = ["errors"]
@more@
[[monitor.metrics]]
name = "errors"
source = "command"
command = "cat @folder@/rate.json"
values = ["rate"]
interval = "20ms"
count = 3
success_condition = "rate < 0.01"
failure_condition = "rate > 0.05"
"""
)


@dataclass(frozen=True)
class World:
    """Machines and metrics of the team, each in a file; before the first run, `by-hand` serves."""

    folder: Path

    def state(self) -> dict[str, Any]:
        """The release that serves, its candidates, and the candidates' share of the traffic."""
        state: dict[str, Any] = json.loads((self.folder / "world.json").read_text())
        return {name: state[name] for name in ("current", "candidates", "weight")}

    def weights(self) -> list[str]:
        """Shares that the team's command was asked for, in order."""
        return [call["weight"] for call in calls(self.folder) if call["action"] == "weight"]

    def have_errors(self, rate: float) -> None:
        """Set the error rate that is measured from now on."""
        (self.folder / "rate.json").write_text(json.dumps({"rate": rate}))


UNTOUCHED = {"current": "by-hand", "candidates": [], "weight": 0}


@pytest.fixture
def more_steps() -> str:
    """Steps that a test adds."""
    return ""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """The team's world, with a healthy service."""
    (tmp_path / "world.json").write_text(json.dumps({**UNTOUCHED, "alive": True}))
    world = World(tmp_path)
    world.have_errors(GOOD)
    return world


@pytest.fixture
async def harness(tmp_path: Path, world: World, more_steps: str) -> AsyncGenerator[LifecycleHarness]:
    """A repository with a policy for releases, an engine's resources, and a person who approves at each gate."""
    ops = f"WORLD={tmp_path}/world.json {OPS}"
    policy = POLICY.replace("@ops@", ops).replace("@folder@", str(tmp_path)).replace("@more@", more_steps)
    write_greeter(tmp_path, policy=policy)
    async with open_lifecycle(tmp_path) as harness:
        yield harness


def effects(harness: LifecycleHarness, run: Run) -> list[tuple[str, str]]:
    """Kinds of the run's effects, in the order they were made, and how each stands."""
    return [(effect.kind, effect.status) for effect in harness.ledger.effects.list(run.id)]


def message(run: Run) -> str:
    """The sentence in which the run says why it ended as it did."""
    return str((run.reason or {})["message"])


async def test_nothing_is_deployed_before_a_person_has_approved_the_plan(
    harness: LifecycleHarness, world: World
) -> None:
    """The gate shows the plan and what it would replace. After a no, the merge is out, and no machine was touched."""
    subjects: list[set[str]] = []

    def look_and_reject(ledger: Ledger, gate: Gate) -> None:
        subjects.append(set(gate.subject))
        assert world.state() == UNTOUCHED
        reject(ledger, gate)

    harness.answers["release"] = look_and_reject
    run = await harness.run()

    assert run.status == "rejected", run.reason
    assert {"release-plan", "target"} <= subjects[0]
    assert effects(harness, run) == [("merge", "undone")]
    assert world.state() == UNTOUCHED


async def test_a_candidate_gets_a_share_of_the_traffic_before_it_gets_all(
    harness: LifecycleHarness, world: World
) -> None:
    """If the change is bad, a quarter of the users sees it for a moment, and not all of them for an hour."""
    run = await harness.run()
    assert run.status == "done", run.reason
    assert world.weights() == ["25"]
    assert effects(harness, run) == [
        ("merge", "done"),
        ("candidate", "done"),
        ("weight", "done"),
        ("cut-over", "done"),
    ]
    assert world.state() == {"current": run.id, "candidates": [], "weight": 0}


async def test_a_candidate_with_errors_is_taken_away_and_the_change_with_it(
    harness: LifecycleHarness, world: World
) -> None:
    """Nobody has to be awake: the traffic goes back, the candidate stops, and the merge is reverted."""
    world.have_errors(BAD)
    run = await harness.run()
    assert run.status == "rolled-back", run.reason
    assert message(run).startswith("the release was bad (at step 2 of 2, with 25 % of the traffic): errors")
    assert world.weights() == ["25", "0"]
    assert world.state() == UNTOUCHED
    assert effects(harness, run) == [("merge", "undone"), ("candidate", "undone"), ("weight", "undone")]
    assert git(harness.folder / "greeter", "show", "phasegate/main:greeting.txt") == "Hello"


async def test_a_person_decides_where_the_metric_says_neither_yes_nor_no(
    harness: LifecycleHarness, world: World
) -> None:
    """The candidate keeps its share meanwhile, and the person sees the report that they decide on."""
    seen: list[tuple[set[str], dict[str, Any]]] = []

    def look_and_approve(ledger: Ledger, gate: Gate) -> None:
        seen.append((set(gate.subject), world.state()))
        approve(ledger, gate)

    world.have_errors(UNCLEAR)
    harness.answers["promotion"] = look_and_approve
    run = await harness.run()
    assert run.status == "done", run.reason
    subject, state = seen[0]
    assert {"release-plan", "candidate", "health-report"} <= subject
    assert state == {"current": "by-hand", "candidates": [run.id], "weight": 25}
    assert world.state()["current"] == run.id


async def test_a_person_who_says_no_has_all_of_it_taken_away(harness: LifecycleHarness, world: World) -> None:
    """The answer at a step is as good as the answer before it: nothing of the release stays behind."""
    world.have_errors(UNCLEAR)
    harness.answers["promotion"] = reject
    run = await harness.run()
    assert run.status == "rolled-back", run.reason
    assert world.state() == UNTOUCHED
    assert {status for _, status in effects(harness, run)} == {"undone"}


@pytest.mark.parametrize("more_steps", ["[[deploy.steps]]\ngate = true\n"])
async def test_a_release_that_gets_errors_once_it_serves_gives_way_to_the_one_before(
    harness: LifecycleHarness, world: World
) -> None:
    """Some errors show under the whole load only: so the release is measured again in its place, and undone there."""

    def approve_too_early(ledger: Ledger, gate: Gate) -> None:
        world.have_errors(BAD)
        approve(ledger, gate)

    before = await harness.run()
    harness.answers["promotion"] = approve_too_early
    run = await harness.again(before, "deployment")
    assert run.status == "rolled-back", run.reason
    assert ("cut-over", "undone") in effects(harness, run)
    assert world.state() == {"current": before.id, "candidates": [], "weight": 0}
