"""P17: an odd answer of a metric's source is a failed measurement, never an error of phasegate's."""

from __future__ import annotations

import gzip
import json
import math
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.integration.metrics.conftest import MakeReleased
from typing_extensions import override

from phasegate.infra.errors import TemporaryError
from phasegate.infra.metrics.sources.measured_release import MeasuredRelease
from phasegate.infra.metrics.sources.open import source_of
from phasegate.infra.policy.monitor import MetricPolicy


class Odd(BaseHTTPRequestHandler):
    """A server in Prometheus's place that answers what a test sets."""

    content = b""
    headers_sent: tuple[tuple[str, str], ...] = ()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        for name, value in type(self).headers_sent:
            self.send_header(name, value)
        self.send_header("content-length", str(len(type(self).content)))
        self.end_headers()
        self.wfile.write(type(self).content)

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()


async def asked(server: str, of: MeasuredRelease, answer: object, *headers: tuple[str, str]) -> dict[str, float]:
    Odd.content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    Odd.headers_sent = headers
    metric = MetricPolicy(name="m", source="prometheus", server=server, query="up")
    return dict((await source_of(metric, of).read()).values)


def data(kind: str, result: object) -> dict[str, object]:
    return {"status": "success", "data": {"resultType": kind, "result": result}}


ODD = {
    "a word in a vector": data("vector", [{"metric": {}, "value": [1, "abc"]}]),
    "a number in a vector": data("vector", [{"metric": {}, "value": [1, 2]}]),
    "a value of one": data("vector", [{"metric": {}, "value": ["1"]}]),
    "a value of three": data("vector", [{"metric": {}, "value": [1, "1", "2"]}]),
    "a value that is no list": data("vector", [{"metric": {}, "value": "1"}]),
    "a vector that is a table": data("vector", {"value": [1, "1"]}),
    "a scalar that is a word": data("scalar", [1, "abc"]),
    "a scalar that is a table": data("scalar", {"a": 1}),
    "a scalar of lists": data("scalar", [[1, "1"], [2, "2"]]),
    "a scalar that is null": data("scalar", None),
    "a matrix of numbers": data("matrix", [{"values": [1, 2]}]),
    "a matrix of a word": data("matrix", [{"values": "11"}]),
    "a string": data("string", [1, "a"]),
    "a nested answer": b'{"data":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "a list": [1],
    "nothing": b"",
    "not UTF-8": b"\xff",
    "5,000 digits": b'{"status": ' + b"1" * 5_000 + b"}",
    "a number of 400 digits": data("vector", [{"value": [1, "9" * 400]}]),
    "an infinite time": b'{"data": {"resultType": "scalar", "result": [1e999, "1"]}}',
    "20 MB": b'{"status": "' + b"x" * 20_000_000 + b'"}',
}


@pytest.mark.parametrize("name", ODD)
async def test_an_odd_answer_of_prometheus(server: str, released: MakeReleased, name: str) -> None:
    """Mutation tried: `float` of whatever a sample holds."""
    with pytest.raises(TemporaryError, match="Prometheus") as caught:
        await asked(server, released(), ODD[name])
    assert len(caught.value.message) < 1_000


async def test_a_gzip_bomb_of_prometheus_is_not_unfolded(server: str, released: MakeReleased) -> None:
    bomb = gzip.compress(b"[" + b"0," * 50_000_000 + b"0]")
    with pytest.raises(TemporaryError, match="answered too much"):
        await asked(server, released(), bomb, ("content-encoding", "gzip"))


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (data("scalar", [1, "2.5"]), 2.5),
        (data("scalar", [1.5, "NaN"]), math.nan),
        (data("vector", [{"metric": {}, "value": [1, "+Inf"]}]), math.inf),
        (data("vector", [{"metric": {}, "histogram": [1, {}]}]), math.nan),
        (data("vector", []), math.nan),
        (data("matrix", [{"values": [[1, "1"], [2, "3"]]}, {"values": []}]), 3.0),
    ],
)
async def test_a_proper_answer(server: str, released: MakeReleased, answer: object, value: float) -> None:
    seen = (await asked(server, released(), answer))["value"]
    assert seen == value or (math.isnan(seen) and math.isnan(value))


@pytest.mark.parametrize(
    ("printed", "says"),
    [
        ('{"a": ' + "9" * 400 + "}", "'a' that is too large"),
        ('{"a": ' + "9" * 5_000 + "}", "no JSON object: it holds a number of more than 400 digits"),
        ('{"a": ' + "[" * 900 + "]" * 900 + "}", "nested more than 100 deep"),
        ('{"a": [[1]]}', "no number 'a'"),
        ('{"a": 1e999}', "too large"),
        ('{"a": true}', "no number 'a'"),
        ("[]", "no JSON object"),
        ('{"b": 1}', "no number 'a'"),
        ("\\377", "no JSON object"),
    ],
)
async def test_an_odd_output_of_a_command(released: MakeReleased, printed: str, says: str) -> None:
    """Mutation tried: `json.loads` and `float` alone."""
    metric = MetricPolicy(name="m", source="command", command=f"printf '{printed}'", values=("a",))
    with pytest.raises(TemporaryError, match=says):
        await source_of(metric, released()).read()


async def test_a_command_that_prints_without_end_fills_no_memory(released: MakeReleased) -> None:
    command = "head -c 300000000 /dev/zero; head -c 300000000 /dev/zero >&2"
    metric = MetricPolicy(
        name="m", source="command", command=command, values=("a",), request_timeout=timedelta(minutes=2)
    )
    with pytest.raises(TemporaryError, match="longer than 1,000,000 bytes"):
        await source_of(metric, released()).read()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT length(repeat('x', 2000000000)) AS a",
        "SELECT count(DISTINCT repeat('x', 100000) || range) AS a FROM range(100000)",
        "SELECT len(list_transform(range(200000000), x -> x * 2)) AS a",
        "SELECT sum(length(repeat(CAST(range AS VARCHAR), 1000000))) AS a FROM range(10000000)",
    ],
)
async def test_a_query_that_takes_memory_is_a_failed_measurement(released: MakeReleased, query: str) -> None:
    """Mutation tried: the query asked in the engine's own process."""
    metric = MetricPolicy(name="m", source="log", query=query, values=("a",), request_timeout=timedelta(seconds=5))
    began = time.monotonic()
    with pytest.raises(TemporaryError, match=r"memory|longer|refused"):
        await source_of(metric, released("a line\n")).read()
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("SELECT 'Infinity'::double AS a", math.nan),
        ("SELECT 12345678901234567890123456789012345678::hugeint AS a", 1.2345678901234568e37),
        ("SELECT '0.5' AS a", 0.5),
        ("SELECT true AS a", 1.0),
    ],
)
async def test_an_odd_number_of_a_query(released: MakeReleased, query: str, value: float) -> None:
    metric = MetricPolicy(name="m", source="log", query=query, values=("a",))
    seen = (await source_of(metric, released("a line\n")).read()).values["a"]
    assert seen == value or (math.isnan(seen) and math.isnan(value))
