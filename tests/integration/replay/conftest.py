"""The real lifecycle in this process, without Prefect, with a provider that counts and refuses."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import yaml
from tests.crash.scenes import REQUESTER, SCENES, write_project
from typing_extensions import override

from phasegate.flows.engine.executor import InProcessExecutor
from phasegate.flows.engine.resources import Resources, open_resources
from phasegate.flows.engine.wakeups import Decided
from phasegate.flows.lifecycle.pipeline import pipeline
from phasegate.flows.lifecycle.runner import run_lifecycle
from phasegate.flows.runs.kickoff import KickoffRequest, kick_off
from phasegate.flows.runs.replay import ReplayRequest, replay
from phasegate.infra.deploy.process.services import services, stop_service
from phasegate.infra.errors import ModelRefused
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.ledger import Ledger, Run
from phasegate.infra.settings import Settings

Result = TypeVar("Result")


class Waits(BaseException):
    """The run waits at a gate, and no person answers."""


@dataclass
class ReplayHarness(InProcessExecutor):
    """A machine.

    Attributes:
        folder: The folder of repository, ticket, script and state.
        shared: The engine's resources.
        answering: True if every open gate is approved; else the run is left waiting.
        refused: Thread names without their run (`implementation/1`), with the turn from which on they are refused.
        asked: Model calls by thread.
        gates: The keys of the gates where a person was asked.
    """

    folder: Path
    shared: Resources
    answering: bool = True
    refused: dict[str, int] = field(default_factory=dict[str, int])
    asked: Counter[str] = field(default_factory=Counter[str])
    gates: list[str] = field(default_factory=list[str])

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return self.shared.ledger

    async def run(self) -> Run:
        """Kick the ticket off and carry it to its end."""
        return await self.carry(self.kick_off())

    def kick_off(self) -> Run:
        """Accept a run of the ticket."""
        request = KickoffRequest(
            str(self.folder / "ticket.md"), self.folder / "greeter", rehearsal=self.folder / "script.yaml"
        )
        return kick_off(
            request,
            ledger=self.ledger,
            settings=self.shared.settings,
            person=REQUESTER,
            environment={},
            stdin=bytes,
        )

    async def again(self, old: Run, stage: str = "", **wish: bool | str) -> Run:
        """Replay or rehearse a run, and carry the new one to its end."""
        return await self.carry(self.accept(old, stage, **wish))

    def accept(self, old: Run, stage: str = "", **wish: bool | str) -> Run:
        """Accept a replay or a rehearsal."""
        return replay(
            ReplayRequest(self.ledger.runs.get(old.id), stage, **wish),  # type: ignore[arg-type]  # the test names the fields
            ledger=self.ledger,
            settings=self.shared.settings,
            person=REQUESTER,
            environment={},
        )

    async def carry(self, run: Run) -> Run:
        """Carry a run to its next stop."""
        with suppress(Waits):
            await run_lifecycle(run.id, pipeline, self)
        return self.ledger.runs.get(run.id)

    @override
    async def wait_until(
        self, key: str, *, run_id: str, decided: Decided, settings: Settings, in_process: bool = False
    ) -> None:
        while key.startswith("step:") and not decided():  # noqa: ASYNC110 -- time alone decides
            await asyncio.sleep(0.005)
        if decided():
            return
        self.gates.append(key)
        if not self.answering:
            raise Waits
        for gate in self.ledger.gates.waiting(run_id):
            self.ledger.gates.decide(gate.id, "approve", REQUESTER, note="go")

    async def count(self, request: httpx.Request) -> None:
        """Look at a model call before it is sent."""
        asked = json.loads(await request.aread())
        thread = asked["prompt_cache_key"]
        turn = 1 + sum(item.get("type") == "function_call_output" for item in asked["input"])
        self.asked[thread] += 1
        if turn >= self.refused.get(thread.partition("/")[2], 1_000):
            raise ModelRefused("the provider refused")

    def turns(self, run: Run) -> dict[str, int]:
        """Model calls of a run, by thread."""
        begin = f"{run.id}/"
        return {thread.removeprefix(begin): n for thread, n in self.asked.items() if thread.startswith(begin)}

    def kinds(self, run: Run) -> list[str]:
        """The kinds of a run's events."""
        return [event.kind for event in self.ledger.events(run.id)]


@asynccontextmanager
async def living_in(folder: Path) -> AsyncGenerator[ReplayHarness]:
    """Open a machine's resources for as long as the block runs."""
    settings = Settings(home=folder / "home")
    settings.create_folders()
    async with open_resources(settings) as shared:
        house = ReplayHarness(folder, shared)
        shared.http.event_hooks["request"].append(house.count)
        yield house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncGenerator[ReplayHarness]:
    """A machine with a project, a ticket and a script; what it has released is stopped at the end."""
    write_project(tmp_path, SCENES["ships"])
    async with living_in(tmp_path) as house:
        yield house
        for state in services(house.shared.settings.home):
            await stop_service(house.shared.settings.home, state.service)


POLICY = """
[project]
test = "python3 -m pytest -q -p no:cacheprovider --junitxml={junit}"
integrate = "none"
[sandbox]
backend = "none"
[grading]
base = "warn"
flaky_reruns = 0
plain_process = false
served = false
ablation_time = "0s"
coverage = false
[lifecycle]
stages = ["prd", "implementation", "testing"]
max_attempts = 2
[gates.prd]
off = true
reason = "agreed before"
"""
"""Policy of a greeter whose changes are graded quickly."""


def greeter(folder: Path, files: Mapping[str, str]) -> Path:
    """A repository with a ticket beside it that asks for another greeting."""
    top = folder / "greeter"
    for name, content in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(content)
    for words in (("init", "-qb", "main"), ("add", "-A"), ("commit", "-qm", "First")):
        subprocess.run(["git", *words], cwd=top, check=True)
    (folder / "ticket.md").write_text("---\ntitle: Greet otherwise\n---\nSay Good day.\n")
    return top


def scripted(house: ReplayHarness, stages: dict[str, list[dict[str, Any]]]) -> None:
    (house.folder / "script.yaml").write_text(yaml.safe_dump({"version": 1, "stages": stages}))


def grades(house: ReplayHarness, run: Run) -> list[Evidence]:
    made = [attempt for attempt in house.ledger.attempts.list(run.id) if attempt.part == "grading"]
    return [house.ledger.artifacts.get(attempt.artifact or "", Evidence) for attempt in made]
