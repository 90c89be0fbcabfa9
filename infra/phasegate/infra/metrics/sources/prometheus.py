"""The metric source `prometheus`: one query of a Prometheus server, over an instant or a range.

It must not know conditions or verdicts. An empty answer is no error: there was nothing to count, and the value is NaN.
Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

import httpx

from phasegate.infra.documents.bounds import MIB, DocumentBounds
from phasegate.infra.documents.http_body import joined_body
from phasegate.infra.documents.json_text import read_json
from phasegate.infra.errors import DocumentUnreadable, TemporaryError
from phasegate.infra.metrics.sources.measured_release import MeasuredRelease
from phasegate.infra.metrics.sources.port import Reading
from phasegate.infra.policy.monitor import MetricPolicy

_SAID = 300
"""Characters of a server's complaint that are passed on."""
_BOUNDS = DocumentBounds(size=16 * MIB)
_LONGEST_NUMBER = 100


class Prometheus:
    """Asks one server one query; satisfies `MetricSource`."""

    def __init__(self, metric: MetricPolicy, released: MeasuredRelease) -> None:
        """Prepare the query; nothing is sent yet."""
        self._metric = metric
        self._query = released.filled(metric.query)
        self._token = released.environment.get(metric.token_variable, "") if metric.token_variable else ""

    async def read(self) -> Reading:
        """Ask once.

        Returns:
            value (the first series' latest), minimum, maximum, mean and samples over all series and their samples;
            all but samples are NaN when there are none.

        Raises:
            TemporaryError: The server does not answer, refuses the query, or answers with something else.
        """
        metric, now = self._metric, time.time()
        parameters: dict[str, str] = {"query": self._query, "timeout": f"{metric.request_timeout.total_seconds()}"}
        if metric.range:
            path = "query_range"
            parameters |= {"start": f"{now - metric.range.total_seconds()}", "end": f"{now}"}
            parameters["step"] = f"{metric.step.total_seconds()}"
        else:
            path, parameters["time"] = "query", f"{now}"
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        source = f"the answer of {metric.server}"
        try:
            async with httpx.AsyncClient(timeout=metric.request_timeout.total_seconds(), trust_env=False) as client:
                url = f"{metric.server.rstrip('/')}/api/v1/{path}"
                # by POST: a long query does not fit a URL
                async with (
                    asyncio.timeout(metric.request_timeout.total_seconds()),
                    client.stream("POST", url, data=parameters, headers=headers) as response,
                ):
                    body = await joined_body(response.aiter_bytes(), source, _BOUNDS)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise TemporaryError(f"Prometheus at {metric.server} does not answer: {reason}") from error
        except DocumentUnreadable as error:
            raise TemporaryError(f"Prometheus at {metric.server} answered too much: {error.reason}") from error
        try:
            answer = read_json(body, source, _BOUNDS)
        except DocumentUnreadable as error:
            message = f"Prometheus at {metric.server} answered {response.status_code}, and no JSON: {error.reason}"
            raise TemporaryError(message) from error
        return Reading(_values(answer))


def _values(answer: Any) -> dict[str, float]:
    match answer:
        case {"status": "error", "error": error}:
            raise TemporaryError(f"Prometheus refuses the query: {str(error)[:_SAID]}")
        case {"data": {"resultType": "scalar", "result": sample}}:
            series: list[object] = [[sample]]
        case {"data": {"resultType": "vector", "result": results}}:
            series = [[sample] for sample in _of_each(_list(results, answer), "value")]
        case {"data": {"resultType": "matrix", "result": results}}:
            series = [samples for samples in _of_each(_list(results, answer), "values") if samples]
        case _:
            raise _other(answer)
    return aggregate([[_number(sample, answer) for sample in _list(samples, answer)] for samples in series])


def _of_each(results: Sequence[object], key: str) -> Iterator[object]:
    """Value of a key of each result; results of another shape, such as native histograms, have none."""
    for result in results:
        if isinstance(result, dict) and key in result:
            yield cast("dict[str, object]", result)[key]


def _list(samples: object, answer: object) -> list[object]:
    if not isinstance(samples, list):
        raise _other(answer)
    return cast("list[object]", samples)


def _number(sample: object, answer: object) -> float:
    """Number of a sample: a time, and a text such as `0.5`, `NaN` or `+Inf`."""
    match sample:
        case [int() | float(), str(text)] if len(text) <= _LONGEST_NUMBER:
            try:
                return float(text)
            except ValueError:
                raise _other(answer) from None
        case _:
            raise _other(answer)


def _other(answer: object) -> TemporaryError:
    return TemporaryError(f"Prometheus answered something else: {str(answer)[:_SAID]}")


def aggregate(series: Sequence[Sequence[float]]) -> dict[str, float]:
    """The values of one measurement, under the names of `PROMETHEUS_VALUES`; a NaN among them makes them NaN."""
    every = [value for samples in series for value in samples]
    unknown = not every or any(math.isnan(value) for value in every)
    return {
        "value": series[0][-1] if every else math.nan,
        "minimum": math.nan if unknown else min(every),
        "maximum": math.nan if unknown else max(every),
        "mean": math.nan if unknown else sum(every) / len(every),
        "samples": float(len(every)),
    }
