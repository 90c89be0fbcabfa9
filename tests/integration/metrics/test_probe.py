"""The probe against a real server on loopback."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from phasegate.infra.metrics.sources.probe import CONCURRENCY, Probe, percentile
from phasegate.infra.policy.conditions import PROBE_VALUES
from phasegate.infra.policy.monitor import MetricPolicy

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def status(code: int) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\nLocation: /elsewhere\r\n\r\n" % code


@dataclass
class Service:
    """A server that answers each request with the next of its answers, then with the last again."""

    answers: list[bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]] = field(default_factory=lambda: [OK])
    url: str = ""
    asked: list[str] = field(default_factory=list)
    busy: int = 0
    busiest: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head.split()[1].decode())
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
        except ConnectionError:
            pass
        finally:
            self.busy -= 1
            writer.close()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    state = Service()
    server = await asyncio.start_server(state.serve, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield state
    server.close()


def probe(url: str, *, requests: int = 10, seconds: float = 5, path: str = "/") -> Probe:
    return Probe(MetricPolicy(name="m", requests=requests, request_timeout=timedelta(seconds=seconds), path=path), url)


async def test_a_healthy_service(service: Service):
    values = (await probe(service.url + "/", path="/up?x=1").read()).values
    assert tuple(values) == PROBE_VALUES
    assert (values["requests"], values["errors"], values["error_rate"]) == (10, 0, 0)
    assert 0 < values["p50_ms"] <= values["p95_ms"] <= values["p99_ms"] <= values["max_ms"]
    assert service.asked == ["/up?x=1"] * 10


@pytest.mark.parametrize(("code", "errors"), [(204, 0), (302, 0), (400, 4), (404, 4), (500, 4), (503, 4)])
async def test_which_statuses_are_errors(service: Service, code: int, errors: int):
    service.answers = [status(code)]
    values = (await probe(service.url, requests=4).read()).values
    assert values["errors"] == errors
    assert not math.isnan(values["p50_ms"])
    assert service.asked == ["/"] * 4


async def test_the_error_rate_is_a_share(service: Service):
    service.answers = [status(500), status(500), OK]
    assert (await probe(service.url, requests=8).read()).values["error_rate"] == 0.25


async def test_no_answer_in_time_is_an_error_with_its_time(service: Service):
    async def never(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    service.answers = [never]
    values = (await probe(service.url, requests=2, seconds=0.1).read()).values
    assert values["errors"] == 2
    assert 100 <= values["p50_ms"] < 4000


async def test_an_answer_that_trickles_past_the_time_is_an_error(service: Service):
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    service.answers = [trickle]
    assert (await probe(service.url, requests=1, seconds=0.2).read()).values["errors"] == 1


async def test_an_answer_cut_short_is_an_error(service: Service):
    service.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok"]
    assert (await probe(service.url, requests=1).read()).values["errors"] == 1


async def test_nobody_there_is_all_errors_and_no_times():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    values = (await probe(url, requests=3).read()).values
    assert (values["requests"], values["error_rate"]) == (3, 1)
    assert math.isnan(values["p95_ms"])


async def test_only_so_many_requests_are_under_way_at_once(service: Service):
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(OK)

    service.answers = [slow]
    assert (await probe(service.url, requests=40).read()).values["errors"] == 0
    assert 1 < service.busiest <= CONCURRENCY


async def test_a_proxy_in_the_environment_is_passed_by(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert (await probe(service.url, requests=1).read()).values["errors"] == 0


@pytest.mark.parametrize(
    ("numbers", "share", "expected"),
    [
        ([7], 0.5, 7),
        ([1, 2, 3, 4], 0.5, 2),
        ([1, 2, 3, 4], 0.95, 4),
        (range(1, 101), 0.95, 95),
        (range(1, 101), 1.0, 100),
    ],
)
def test_nearest_rank_percentiles(numbers: list[float], share: float, expected: float):
    assert percentile(list(numbers), share) == expected
