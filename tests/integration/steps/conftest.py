"""A project that the team's own commands release in steps; files stand for its machines and its metrics."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.crash.scenes import CrashScenario, write_project
from tests.support.command_target import OPS
from tests.support.greeter import NO_ERRORS, QUICK_GRADES, REQUESTER
from tests.support.lifecycle import LifecycleHarness, Waits

from phasegate.flows.engine.resources import open_resources
from phasegate.flows.engine.wakeups import Decided
from phasegate.infra.ledger import Run
from phasegate.infra.settings import Settings

PATIENCE_SECONDS = 120.0
GOOD, UNCLEAR, BAD = 0.0, 0.03, 0.2

Action = Callable[["Rollout", Run], Awaitable[None]]


@dataclass
class Rollout(LifecycleHarness):
    """A machine whose releases go through steps.

    Attributes:
        deeds: A person's actions while the run waits, by the beginning of the key it waits under; each once.
    """

    deeds: dict[str, Action] = field(default_factory=dict[str, Action])

    @property
    def world(self) -> dict[str, Any]:
        """State of the machines, as the team's commands left it."""
        found: dict[str, Any] = json.loads((self.folder / "world.json").read_text())
        return found

    def change_world(self, **facts: Any) -> None:
        """Change something by hand."""
        (self.folder / "world.json").write_text(json.dumps({**self.world, **facts}))

    def measure(self, rate: float) -> None:
        """Set the value that the metrics give from now on."""
        (self.folder / "rate.json").write_text(json.dumps({"rate": rate}))

    def effects(self, run: Run) -> list[tuple[str, str]]:
        """Effects of a run, without the merge."""
        return [(one.kind, one.status) for one in self.ledger.effects.list(run.id) if one.kind != "merge"]

    def attempts(self, run: Run, stage: str = "deployment") -> dict[str, str]:
        """The attempts of a stage, but for those of agents, and what became of each report."""
        made: dict[str, str] = {}
        for one in self.ledger.attempts.list(run.id):
            if one.stage == stage and one.part not in {"plan", "reading"} and not one.superseded:
                content = self.ledger.artifacts.json(one.artifact) if one.artifact else {}
                made[f"{one.part}/{one.number}"] = str(content.get("verdict", one.status))
        return made

    def gates_of(self, run: Run, gate: str = "promotion") -> list[tuple[int, str]]:
        """Outcome of each round of a gate."""
        return [(one.number, one.status) for one in self.ledger.gates.list(run.id) if one.gate == gate]

    def lines(self, run: Run) -> list[str]:
        """Progress that was reported of the release."""
        told = [event.payload for event in self.ledger.events(run.id) if event.kind == "stage.step"]
        return [str(one["text"]) for one in told]

    def weights(self) -> list[str]:
        """The shares that the team's command was told."""
        told = [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]
        return [one["weight"] for one in told if one["action"] == "weight"]

    async def wait_until(
        self, key: str, *, run_id: str, decided: Decided, settings: Settings, in_process: bool = False
    ) -> None:
        deed = next((name for name in self.deeds if key.startswith(name)), None)
        if deed is not None and not decided():
            await self.deeds.pop(deed)(self, self.ledger.runs.get(run_id))
        elif not key.startswith("step:"):
            await super().wait_until(key, run_id=run_id, decided=decided, settings=settings, in_process=in_process)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not decided():
            assert time.monotonic() < deadline, f"{key} is not decided"
            await asyncio.sleep(0.01)


async def approve(house: Rollout, run: Run) -> None:
    """Say go."""
    (gate,) = house.ledger.gates.waiting(run.id)
    house.ledger.gates.decide(gate.id, "approve", REQUESTER)


async def reject(house: Rollout, run: Run) -> None:
    """Say no."""
    (gate,) = house.ledger.gates.waiting(run.id)
    house.ledger.gates.decide(gate.id, "reject", REQUESTER, note="not today")


async def leave(house: Rollout, run: Run) -> None:
    """Say nothing; the engine is stopped."""
    raise Waits


def policy(folder: Path, steps: str, more: str = "") -> str:
    """The project's policy, with these steps."""
    ops = f"WORLD={folder}/world.json {OPS}"
    commands = "\n".join(f'{name} = "{ops}"' for name in ("deploy", "weight", "promote", "rollback", "status"))
    return f"""{QUICK_GRADES}[deploy]
target = "command"
[deploy.commands]
{commands}
{steps}
[monitor]
{more}
[[monitor.metrics]]
name = "errors"
source = "command"
command = "cat {folder}/rate.json"
values = ["rate"]
interval = "20ms"
count = 3
success_condition = "rate < 0.01"
failure_condition = "rate > 0.05"
"""


def step(line: str) -> str:
    """A step."""
    return f"[[deploy.steps]]\n{line}\n"


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Any]:
    """Opens a machine for a project with these steps; a release made by hand is current."""

    @asynccontextmanager
    async def open_house(*steps: str, more: str = "") -> AsyncGenerator[Rollout]:
        write_project(tmp_path, CrashScenario("steps", "done", policy=NO_ERRORS))
        top = tmp_path / "greeter"
        (top / "phasegate.toml").write_text(policy(tmp_path, "".join(map(step, steps)), more))
        commit = ("git", "commit", "-q", "-m", "Steps", "phasegate.toml")
        await asyncio.to_thread(subprocess.run, commit, cwd=top, check=True)
        settings = Settings(home=tmp_path / "home")
        settings.create_folders()
        async with open_resources(settings) as shared:
            house = Rollout(tmp_path, shared)
            serving = {"current": "by-hand", "alive": True, "candidates": [], "weight": 0, "revision": "1"}
            (tmp_path / "world.json").write_text(json.dumps(serving))
            house.measure(GOOD)
            yield house

    return open_house
