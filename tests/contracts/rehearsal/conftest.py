"""A rehearsal server with one script, and the real clients that talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from phasegate.agents.models.client import ModelClient, Retries, open_client
from phasegate.agents.models.conversation import Message, Reply, ToolSpec
from phasegate.agents.models.names import ModelName
from phasegate.agents.rehearsal.script import Script
from phasegate.agents.rehearsal.script_file import read_script
from phasegate.agents.rehearsal.server import RehearsalServer
from phasegate.infra.errors import NotFound

SCRIPT = """
version: 1
stages:
  prd:
    - text: First I read what is there, at some length, so that it comes in pieces.
      tools: [{name: read_file, args: {path: app.py}}, {name: list_files}]
    - expect: 'def greet\\(\\)'
      text: Ümläute sind drin.
    - expect: go on
      finish: {title: Greeting, criteria: [{id: AC1, statement: "It greets.\\nTwice."}]}
"""
NAMES = ("openai:gpt-5.3-codex", "anthropic:claude-opus-4-6", "compatible:local-model")
TOOLS = [ToolSpec("read_file", "Reads.", {"type": "object"}), ToolSpec("finish", "Ends.", {"type": "object"})]


@dataclass
class Talk:
    """Conversation of a stage attempt, as the agent loop would hold it."""

    client: ModelClient
    said: list[Message] = field(default_factory=list)

    async def turn(self) -> Reply:
        encoder = self.client.conversation("You write the PRD.", TOOLS, "run-1/prd/1")
        for message in self.said:
            encoder.append(message)
        reply = await self.client.send(encoder.body())
        self.said.append(reply.message)
        return reply

    def user(self, text: str) -> None:
        self.said.append({"role": "user", "text": text})

    def results(self, reply: Reply, output: str, *, failed: bool = False) -> None:
        results = [
            {"id": call["id"], "name": call["name"], "output": output, "failed": failed}
            for call in reply.message["calls"]
        ]
        self.said.append({"role": "tools", "results": results})  # type: ignore[typeddict-item]  # a list of the right dicts


@dataclass
class RehearsalEnvironment:
    """The server, and the script it plays for one run."""

    server: RehearsalServer
    http: httpx.AsyncClient
    scripts: dict[str, Script]
    run: str = ""

    def script(self, text: str) -> None:
        self.scripts[self.run] = read_script(text, "script.yaml")

    def url(self, stage: str = "prd", attempt: int = 1, run: str = "") -> str:
        return self.server.base_url(run or self.run, stage, attempt)

    def talk(self, name: str, stage: str = "prd", attempt: int = 1, run: str = "") -> Talk:
        async def no_sleep(seconds: float) -> None: ...

        retries = Retries(sleep=no_sleep)
        url = self.url(stage, attempt, run)
        return Talk(open_client(ModelName.parse(name), base_url=url, key="k", http=self.http, retries=retries))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def serving() -> AsyncIterator[RehearsalEnvironment]:
    """A server for a whole module: starting and stopping one takes longer than most tests."""
    scripts: dict[str, Script] = {}

    def script_of(run: str) -> Script:
        if run not in scripts:
            raise NotFound(f"There is no run {run}.")
        return scripts[run]

    async with RehearsalServer(script_of) as server, httpx.AsyncClient(verify=False) as http:
        yield RehearsalEnvironment(server, http, scripts)


@pytest.fixture
def stage(serving: RehearsalEnvironment) -> RehearsalEnvironment:
    """The server with the usual script, for a run of this test's own: faults are counted by run."""
    stage = RehearsalEnvironment(serving.server, serving.http, serving.scripts, f"run-{uuid4().hex[:8]}")
    stage.script(SCRIPT)
    return stage


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """A model of each protocol."""
    return str(request.param)
