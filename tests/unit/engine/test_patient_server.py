"""Requests that SQLite was too busy for are retried inside the Prefect server, so that no client waits seconds."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from phasegate.flows.engine.prefect_backend import server
from phasegate.flows.engine.prefect_backend.server import RetryOnBusyMiddleware


class Busy:
    """Refuses a few times before it answers with what it was told."""

    def __init__(self, refusals: int) -> None:
        self.left, self.asked = refusals, 0

    async def answer(self, request: Request) -> Response:
        self.asked += 1
        told = await request.json()
        if self.left:
            self.left -= 1
            raise BlockingIOError("database is locked")
        return JSONResponse(told)


async def refuse(_request: Request, _error: Exception) -> Response:
    """As Prefect does. Starlette raises the error again once this is sent."""
    return Response("busy", status_code=503)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_BETWEEN_TRIES_SECONDS", 0)


async def _post(busy: Busy) -> httpx.Response:
    routes = [Route("/", busy.answer, methods=["POST"])]
    app = RetryOnBusyMiddleware(Starlette(routes=routes, exception_handlers={Exception: refuse}))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        return await client.post("/", json={"name": "x" * 100_000})


@pytest.mark.parametrize("refusals", [0, 1, 5])
async def test_a_refused_request_is_made_again_with_all_it_said(refusals: int) -> None:
    """Mutations tried: without what was received before, the second try has no body; without catching what Starlette
    raises once it has answered, there is no second try. Each fails this.
    """
    busy = Busy(refusals)

    answer = await _post(busy)

    assert (answer.status_code, answer.json()) == (200, {"name": "x" * 100_000})
    assert busy.asked == refusals + 1


async def test_one_that_is_refused_all_the_time_is_told_so() -> None:
    answer = await _post(Busy(1_000))

    assert (answer.status_code, answer.text) == (503, "busy")
