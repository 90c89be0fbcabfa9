"""A provider on loopback that says what a test tells it to, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from phasegate.agents.models.client import ModelClient, Retries, open_client
from phasegate.agents.models.names import ModelName
from phasegate.agents.rehearsal.loopback import LoopbackServer


@dataclass
class Canned:
    """An answer: its parts are sent as they are; an unfinished one is cut after them."""

    status: int = 200
    parts: Sequence[bytes] = ()
    content_type: str = "text/event-stream"
    headers: dict[str, str] = field(default_factory=dict)
    finished: bool = True
    held: bool = False


@dataclass
class Asked:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Provider:
    """Answers with what is in `answers`, in order, and then refuses."""

    def __init__(self, url: str) -> None:
        self.answers: list[Canned] = []
        self.asked: list[Asked] = []
        self.url = url
        self.holding = asyncio.Event()
        self.hung_up = asyncio.Event()

    def says(self, *events: object, named: bool = True) -> None:
        """Add an answer that streams these events and ends."""
        parts = [event if isinstance(event, bytes) else sse(event, named=named) for event in events]
        self.answers.append(Canned(parts=parts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append(Asked(scope["path"], headers, body))
        refusal = Canned(400, [b'{"error": {"message": "captured"}}'], "application/json")
        answer = self.answers.pop(0) if self.answers else refusal
        sent = {"content-type": answer.content_type, **answer.headers}
        raw = [(name.encode(), value.encode()) for name, value in sent.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        for part in answer.parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if answer.held:
            self.holding.set()
            while (await receive())["type"] != "http.disconnect":
                pass
            self.hung_up.set()
        elif answer.finished:
            await send({"type": "http.response.body", "body": b""})


def sse(event: Any, *, named: bool = True) -> bytes:
    """An event as providers spell it."""
    data = event if isinstance(event, dict) else event.model_dump(mode="json")
    name = f"event: {data['type']}\n" if named and "type" in data else ""
    return f"{name}data: {json.dumps(data)}\n\n".encode()


class ModelEnvironment:
    """Mount point for the provider of the running test."""

    def __init__(self) -> None:
        self.provider: Provider | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.provider is not None
        await self.provider(scope, receive, send)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def serving() -> AsyncIterator[tuple[ModelEnvironment, str]]:
    """A server for a whole module: starting and stopping one takes longer than most tests."""
    stage = ModelEnvironment()
    async with LoopbackServer(stage) as server:
        yield stage, server.url


@pytest.fixture
def provider(serving: tuple[ModelEnvironment, str]) -> Provider:
    stage, url = serving
    stage.provider = Provider(url)
    return stage.provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(verify=False) as http:
        yield http


class Sleeper:
    """Passes no time, and remembers how much was asked for."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def sleeper() -> Sleeper:
    return Sleeper()


@pytest.fixture
def client_of(provider: Provider, http: httpx.AsyncClient, sleeper: Sleeper) -> Any:
    """Open a client for a model name against the provider."""

    def open_one(name: str) -> ModelClient:
        retries = Retries(sleep=sleeper, chance=lambda: 0.0)
        return open_client(
            ModelName.parse(name), base_url=provider.url, key="key-of-the-test", http=http, retries=retries
        )

    return open_one


NAMES = ("openai:gpt-5.3-codex", "anthropic:claude-opus-4-6", "compatible:local-model")


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """A model of each protocol."""
    return str(request.param)
