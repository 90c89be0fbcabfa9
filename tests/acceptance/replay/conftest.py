"""The lifecycle's machine and project, and a provider that counts what it is asked and can be broken."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.acceptance.lifecycle import conftest as lifecycle
from tests.acceptance.lifecycle.conftest import script
from tests.machine import Machine
from tests.quick_machine import quick_machine

from phasegate.agents.models.conversation import JsonObject
from phasegate.agents.rehearsal.answers import answer_to, position, scripted_turn, tokens
from phasegate.agents.rehearsal.dialects.responses import ResponsesDialect
from phasegate.agents.rehearsal.loopback import LoopbackServer
from phasegate.agents.rehearsal.script import Script

project = lifecycle.project

_STAGES = {
    "You write the product requirements": "prd",
    "You implement an approved PRD": "implementation",
    "You write acceptance tests": "testing",
    "You draft the release plan": "deployment",
}


@dataclass
class Provider:
    """Speaks OpenAI's Responses over HTTP, as any provider does: it knows neither runs nor scripts' addresses.

    Attributes:
        content: What it says, by stage: a script.
        refused: The stages it refuses, with the turn from which on.
        asked: What it was asked, and did not refuse: stage and turn.
        models: The models it was asked for, by stage.
    """

    content: dict[str, object] = field(default_factory=script)
    refused: dict[str, int] = field(default_factory=dict[str, int])
    asked: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    models: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    url: str = ""

    def reset(self) -> None:
        """Forget what was asked, and be well."""
        self.content, self.refused = script(), {}
        self.asked.clear()
        self.models.clear()

    def stages(self) -> set[str]:
        """The stages it was asked for."""
        return {stage for stage, _ in self.asked}

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        body = await request.body()
        asked = TypeAdapter(JsonObject).validate_json(body)
        question, dialect = ResponsesDialect().read(asked, tokens(len(body))), ResponsesDialect()
        stage = next(name for begins, name in _STAGES.items() if begins in body.decode())
        at = position(question.utterances)
        if at.turn >= self.refused.get(stage, 1_000):
            return JSONResponse({"error": {"type": "invalid_request_error", "message": "out of service"}}, 400)
        self.asked[stage, at.turn] += 1
        self.models.setdefault(stage, set()).add(question.model)
        turn = scripted_turn(Script.model_validate(self.content), stage, 1, at)
        answer = answer_to(question, turn, stage, 1, at, malformed=False)
        return Response(b"".join(dialect.stream(asked, answer)), media_type="text/event-stream")


@pytest.fixture(scope="module")
def served() -> Iterator[Provider]:
    """A provider for all tests of a module."""
    provider, started, stop = Provider(), threading.Event(), asyncio.Event()
    loop: list[asyncio.AbstractEventLoop] = []

    async def until_stopped() -> None:
        loop.append(asyncio.get_running_loop())
        app = Starlette(routes=[Route("/v1/responses", provider.answer, methods=["POST"])])
        async with LoopbackServer(app) as server:
            provider.url = server.url
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(until_stopped()))
    thread.start()
    assert started.wait(10)
    yield provider
    loop[0].call_soon_threadsafe(stop.set)
    thread.join()


@pytest.fixture
def provider(served: Provider) -> Provider:
    """The provider, well, and with nothing asked yet."""
    served.reset()
    return served


@pytest.fixture(scope="module")
def machine(served: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine per module, whose engine talks to the provider."""
    keys = {"OPENAI_API_KEY": "sk-made-up", "OPENAI_BASE_URL": served.url}
    with quick_machine(tmp_path_factory.mktemp("machine"), keys) as machine:
        yield machine
