"""Requests to Prefect that fail for a while; the requests themselves are in tests/integration/engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from uuid import UUID, uuid4

import httpx
import pytest

from phasegate.flows.engine.prefect_backend.dispatch import open_flow_runs

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

REQUEST = httpx.Request("POST", "http://127.0.0.1/api/flow_runs/filter")
AWAY = httpx.ConnectError("refused")


def answered(status: int) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError(str(status), request=REQUEST, response=httpx.Response(status, request=REQUEST))


class Client:
    """Prefect's client, which raises these errors in turn before it answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.requests = 0

    async def read_flow_runs(self, **_: object) -> list[UUID]:
        self.requests += 1
        if self.errors:
            raise self.errors.pop(0)
        return []


async def asked(client: Client) -> None:
    assert await open_flow_runs(cast("PrefectClient", client), uuid4()) == []


async def test_a_request_is_repeated_while_the_server_is_busy_or_away() -> None:
    """Mutation tried: `_may_pass` without transport errors, and with the status 500."""
    client = Client(answered(503), AWAY, answered(503))
    await asked(client)
    assert client.requests == 4


async def test_a_request_is_sent_four_times_at_most() -> None:
    """Mutation tried: five tries; an error of tenacity's own (`reraise=False`)."""
    client = Client(*[AWAY] * 4)
    with pytest.raises(httpx.ConnectError):
        await asked(client)
    assert client.requests == 4


async def test_a_refused_request_is_not_repeated() -> None:
    """Mutation tried: `_may_pass` for every status."""
    client = Client(answered(500))
    with pytest.raises(httpx.HTTPStatusError):
        await asked(client)
    assert client.requests == 1
