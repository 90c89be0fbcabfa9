"""Waiting for a service's health, against a server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from phasegate.infra.deploy.health import wait_until_healthy

SHORT = timedelta(milliseconds=300)
LONG = timedelta(seconds=30)


class Service:
    """Answers each request with the next status, then with the last again; 0 answers nothing."""

    url = ""
    statuses: list[int]
    asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status:
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        else:
            await reader.read()  # until the client gives up
        writer.close()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    state = Service()
    server = await asyncio.start_server(state.serve, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/up"
    yield state
    server.close()


def runs() -> None:
    """The process has not ended."""


async def test_it_asks_until_a_2xx_comes(service: Service):
    service.statuses = [503, 302, 204]
    check = await wait_until_healthy(service.url, LONG, runs)
    assert (check.ok, service.asked) == (True, 3)
    assert check.detail.startswith(f"GET {service.url} answered 204 after ")


@pytest.mark.parametrize(("status", "seen"), [(404, "answered 404"), (500, "answered 500"), (0, "no answer in time")])
async def test_without_a_2xx_it_says_what_it_saw_last(service: Service, status: int, seen: str):
    service.statuses = [status]
    check = await wait_until_healthy(service.url, SHORT, runs)
    assert (check.ok, check.detail) == (False, f"GET {service.url} gave no 2xx within 0.3 s: {seen}")


async def test_a_process_that_has_ended_is_not_waited_for(service: Service):
    service.statuses = [404]
    check = await wait_until_healthy(service.url, LONG, lambda: "exited with code 1")
    assert (check.ok, service.asked) == (False, 0)
    assert check.detail.startswith("the process exited with code 1 after 0.")


async def test_a_2xx_on_the_port_of_an_ended_process_is_somebody_elses(service: Service):
    service.statuses = [200]
    endings = iter([None, "exited with code 1", "exited with code 1"])
    check = await wait_until_healthy(service.url, LONG, lambda: next(endings))
    assert (check.ok, service.asked) == (False, 1)
