"""Harness for one attempt of an agent: a ledger, a thread store, a worktree, and a model that answers over HTTP.

The model is the rehearsal server. It speaks each provider's own protocol and gives the turns of the test.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import httpx
from tests.ledgers import policy_with
from tests.support.repositories import first_commit

from phasegate.agents.implementation import ChangeDraft
from phasegate.agents.loop import (
    AgentRuntime,
    Assignment,
    FallbackModel,
    RunBudget,
    Threads,
    open_threads,
    run_agent,
)
from phasegate.agents.models.client import ModelClient, Retries, open_client
from phasegate.agents.models.names import ModelName
from phasegate.agents.rehearsal.script import Script
from phasegate.agents.rehearsal.server import RehearsalServer
from phasegate.agents.tools.tool_sets import WRITING
from phasegate.agents.tools.toolbox import Toolbox
from phasegate.infra.artifacts import Artifact
from phasegate.infra.ledger import Attempt, Ledger, RunOptions
from phasegate.infra.policy.budgets import BudgetPolicy
from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox import open_sandbox
from phasegate.infra.workspace import Repository, Workspace

MODELS = ["openai:gpt-5.3-codex", "anthropic:claude-opus-4-6", "compatible:local"]
EDIT = {"name": "edit_file", "args": {"path": "app.py", "old": "1", "new": "2"}}
FINISH = {"finish": {"summary": "done"}}


class Paper(Artifact):
    """Stands for ticket and policy."""

    kind: ClassVar[str] = "paper"


@dataclass(frozen=True)
class Bench:
    """A worktree as the agent's place."""

    workspace: Workspace

    def save(self, turn: int) -> str:
        return self.workspace.checkpoint("implementation", turn)

    def restore(self, commit: str) -> None:
        self.workspace.restore(commit)


@dataclass
class AgentHarness:
    """Everything that one attempt needs.

    Attributes:
        ledger: The ledger, with one run and its attempt.
        threads: The store of conversations.
        attempt: The attempt, which has begun.
        workspace: The worktree in which the agent changes files.
        server: The model.
        http: Carries the requests to it.
        turns: Answers of the model, turn by turn, as a rehearsal script has them.
        state: A folder for what the sandbox keeps.
        faults: Faults on the way of the answers.
        paused: True if a person asked for a pause.
        provider: The address of another model than the rehearsal server; empty for that one.
        fallbacks: Models that take over.
    """

    ledger: Ledger
    threads: Threads
    attempt: Attempt
    workspace: Workspace
    server: RehearsalServer
    http: httpx.AsyncClient
    turns: list[dict[str, Any]]
    state: Path
    faults: list[dict[str, Any]]
    paused: bool = False
    provider: str = ""
    fallbacks: tuple[str, ...] = ()

    async def work(self, model: str = MODELS[0], **budget: int) -> ChangeDraft | None:
        """Run the agent."""
        attempt = self.attempt.model_copy(update={"model": model})
        toolbox = Toolbox(
            self.workspace.folder,
            names=WRITING,
            sandbox=open_sandbox(SandboxPolicy(), self.state),
            draft=ChangeDraft,
            protected=("locked/**",),
        )
        assignment = Assignment(
            attempt=attempt,
            prompt="Do it.",
            brief="Make it two.",
            draft=ChangeDraft,
            toolbox=toolbox,
            client=self._client(model),
            fallbacks=tuple(FallbackModel(name, partial(self._client, name)) for name in self.fallbacks),
            place=Bench(self.workspace),
        )
        limits = RunBudget(self.ledger, BudgetPolicy.model_validate(budget))
        return await run_agent(assignment, AgentRuntime(self.ledger, self.threads, limits, lambda: self.paused))

    def _client(self, model: str) -> ModelClient:
        base_url = self.provider or self.server.base_url(self.attempt.run_id, "implementation", 1)
        retries = Retries(sleep=_no_time) if self.provider else None
        return open_client(ModelName.parse(model), base_url=base_url, key="k", http=self.http, retries=retries)

    def struck(self) -> bool:
        """True if a fault of the script was injected."""
        return self.server.times_injected > 0

    def kinds(self) -> list[str]:
        """The kinds of the run's events, in order."""
        return [event.kind for event in self.ledger.events("run-one")]

    def results(self) -> list[tuple[str, bool]]:
        """Each tool call's name and whether it failed, in order."""
        return [
            (result["name"], result["failed"])
            for event in self.ledger.events("run-one")
            if event.kind == "tools.answered"
            for result in event.payload["results"]
        ]


async def _no_time(_seconds: float) -> None:
    """Wait for nothing."""


def committed(top: Path) -> Repository:
    """A repository with one file in one commit."""
    top.mkdir()
    (top / "app.py").write_text("x = 1\n")
    first_commit(top)
    return Repository.open(top)


@asynccontextmanager
async def open_attempt(tmp_path: Path) -> AsyncGenerator[AgentHarness]:
    """Begin an attempt in a folder of the test's own; everything is closed when the block ends."""
    repository = committed(tmp_path / "repository")
    base = repository.base()
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.runs.accept(
        "run-one",
        title="t",
        ticket=Paper(),
        policy=policy_with(),
        repository=str(repository.top),
        base_branch=base.branch,
        base_commit=base.commit,
        requester="ana",
        options=RunOptions(),
        definition="1",
    )
    attempt, _ = ledger.attempts.begin(
        "run-one", "implementation", "", 1, inputs={}, model=MODELS[0], prompt="p", holder="here/1"
    )
    turns, faults = list[dict[str, Any]](), list[dict[str, Any]]()

    def play(_run: str) -> Script:
        return Script.model_validate({"version": 1, "stages": {"implementation": turns}, "faults": faults})

    workspace = Workspace.create(repository, "run-one", base.commit, tmp_path / "work")
    async with (
        open_threads(tmp_path / "threads.db") as threads,
        RehearsalServer(play) as server,
        httpx.AsyncClient() as http,
    ):
        yield AgentHarness(ledger, threads, attempt, workspace, server, http, turns, tmp_path / "state", faults)
    ledger.close()
