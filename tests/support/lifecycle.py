"""Harness that runs the real lifecycle in the test's own process, without Prefect and without an engine.

Agents' answers come from a script over HTTP, through the real model clients. A person answers every wait.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.support.greeter import REQUESTER
from tests.support.people import Answer, decide
from typing_extensions import override

from phasegate.flows.engine.executor import Executor, InProcessExecutor
from phasegate.flows.engine.resources import Resources, open_resources
from phasegate.flows.engine.wakeups import Decided
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.pipeline import pipeline
from phasegate.flows.lifecycle.runner import run_lifecycle
from phasegate.flows.runs.kickoff import KickoffRequest, kick_off
from phasegate.flows.runs.replay import ReplayRequest, replay
from phasegate.infra.errors import ModelRefused
from phasegate.infra.ledger import Ledger, Run
from phasegate.infra.settings import Settings


class Waits(BaseException):
    """The run waits at a gate, and no person answers."""


approve = decide("approve", REQUESTER, "go")
reject = decide("reject", REQUESTER, "not today")


@dataclass
class LifecycleHarness(InProcessExecutor):
    """Machine with one repository, whose runs are executed by the test itself.

    Attributes:
        folder: The folder of repository, ticket, script and state.
        shared: The engine's resources.
        answering: True if every open gate is answered; else the run is left waiting.
        answers: The person's answers by gate; they approve at every other.
        refused: Thread names without their run (`implementation/1`), with the turn from which on they are refused.
        asked: Model calls by thread.
        gates: The keys of the gates where a person was asked.
        contexts: Runs that a test took up by itself; their background coroutines end with the harness.
    """

    folder: Path
    shared: Resources
    answering: bool = True
    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])
    refused: dict[str, int] = field(default_factory=dict[str, int])
    asked: Counter[str] = field(default_factory=Counter[str])
    gates: list[str] = field(default_factory=list[str])
    contexts: list[RunContext] = field(default_factory=list[RunContext])

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

    def only_run(self) -> Run:
        """The run, where the test has one."""
        (run,) = self.ledger.runs.list()
        return run

    def context(self, run: Run, executor: Executor | None = None) -> RunContext:
        """Take a run up as `runner` does for each pass, for a test of a single part of the lifecycle.

        Args:
            run: The run.
            executor: Executor of the run; the harness itself if there is none.
        """
        context = RunContext(self.ledger.runs.get(run.id), self.shared, executor or self)
        self.contexts.append(context)
        return context

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
            self.answers.get(gate.gate, approve)(self.ledger, gate)

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
async def open_lifecycle(folder: Path, **changes: Any) -> AsyncGenerator[LifecycleHarness]:
    """Open a machine's resources for as long as the block runs; its settings may be other than the defaults."""
    settings = Settings(home=folder / "home", **changes)
    settings.create_folders()
    async with open_resources(settings) as shared:
        harness = LifecycleHarness(folder, shared)
        shared.http.event_hooks["request"].append(harness.count)
        yield harness
        for context in harness.contexts:
            await context.background.cancel()
