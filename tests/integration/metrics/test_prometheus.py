"""A real Prometheus that scrapes a service, as a metric source."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.integration.metrics.conftest import MakeReleased
from tests.prometheus import PrometheusServer
from typing_extensions import override

from phasegate.infra.errors import TemporaryError
from phasegate.infra.metrics.sources.open import source_of
from phasegate.infra.metrics.sources.prometheus import aggregate
from phasegate.infra.policy.monitor import MetricPolicy
from phasegate.infra.system.ports import ephemeral_port

pytestmark = pytest.mark.timeout(600)


class Exporter(BaseHTTPRequestHandler):
    """A service of two replicas, which counts requests and errors, and a release that gets no request."""

    def do_GET(self) -> None:
        body = (
            'requests_total{release="rel-1",replica="a"} 30\nrequests_total{release="rel-1",replica="b"} 10\n'
            'errors_total{release="rel-1"} 2\nidle_requests_total 0\nidle_errors_total 0\n'
        )
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


@dataclass(frozen=True)
class Served:
    """Address of Prometheus."""

    url: str


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Served]:
    exporter = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    server = PrometheusServer()
    server.watch(f"127.0.0.1:{exporter.server_port}")
    try:
        server.start()
        server.until_seen("count_over_time(requests_total[1m]) >= 2")
        yield Served(server.url)
    finally:
        server.remove()
        exporter.shutdown()
        exporter.server_close()


def metric(served: Served, query: str, **more: object) -> MetricPolicy:
    return MetricPolicy.model_validate(
        {"name": "m", "source": "prometheus", "server": served.url, "query": query, **more}
    )


async def test_the_share_of_errors_of_this_release(prometheus: Served, released: MakeReleased) -> None:
    query = 'sum(errors_total{release="{release}"}) / sum(requests_total{release="{release}"})'
    found = (await source_of(metric(prometheus, query), released()).read()).values
    assert found == {"value": 0.05, "minimum": 0.05, "maximum": 0.05, "mean": 0.05, "samples": 1.0}


async def test_every_series_counts(prometheus: Served, released: MakeReleased) -> None:
    found = (await source_of(metric(prometheus, "requests_total"), released()).read()).values
    assert (found["minimum"], found["maximum"], found["mean"], found["samples"]) == (10.0, 30.0, 20.0, 2.0)


async def test_a_range_has_a_sample_per_step(prometheus: Served, released: MakeReleased) -> None:
    asked = metric(prometheus, "sum(requests_total)", range="5s", step="1s")
    found = (await source_of(asked, released()).read()).values
    assert found["samples"] >= 2
    assert (found["value"], found["mean"]) == (40.0, 40.0)


async def test_a_scalar_is_a_value(prometheus: Served, released: MakeReleased) -> None:
    found = (await source_of(metric(prometheus, "scalar(sum(requests_total))"), released()).read()).values
    assert (found["value"], found["samples"]) == (40.0, 1.0)


@pytest.mark.parametrize("query", ["no_such_metric", 'requests_total{release="another"}'])
async def test_no_series_is_nothing_to_count(prometheus: Served, released: MakeReleased, query: str) -> None:
    found = (await source_of(metric(prometheus, query), released()).read()).values
    assert found["samples"] == 0
    assert all(math.isnan(value) for name, value in found.items() if name != "samples")


async def test_a_share_of_no_traffic_is_not_a_number(prometheus: Served, released: MakeReleased) -> None:
    found = (await source_of(metric(prometheus, "idle_errors_total / idle_requests_total"), released()).read()).values
    assert math.isnan(found["value"])
    assert found["samples"] == 1


async def test_a_query_it_refuses_is_an_error(prometheus: Served, released: MakeReleased) -> None:
    with pytest.raises(TemporaryError, match=r"refuses the query: .*parse error"):
        await source_of(metric(prometheus, "sum("), released()).read()


async def test_a_server_that_is_down_is_an_error(released: MakeReleased) -> None:
    down = metric(Served(f"http://127.0.0.1:{ephemeral_port()}"), "up", request_timeout=timedelta(seconds=2))
    with pytest.raises(TemporaryError, match="does not answer"):
        await source_of(down, released()).read()


async def test_a_server_that_is_another_is_an_error(prometheus: Served, released: MakeReleased) -> None:
    with pytest.raises(TemporaryError, match="404, and no JSON"):
        await source_of(metric(Served(f"{prometheus.url}/elsewhere"), "up"), released()).read()


def test_one_unknown_sample_makes_the_sums_unknown() -> None:
    found = aggregate([[1.0, math.nan], [3.0]])
    assert [math.isnan(found[name]) for name in ("value", "minimum", "maximum", "mean")] == [True] * 4
    assert found["samples"] == 3
