"""The metric source `probe`: a handful of HTTP requests to the released service, and what came of them.

Made by the monitoring stage for each metric with `source = "probe"`. It must not know conditions or verdicts.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import httpx

from phasegate.infra.metrics.sources.port import Reading
from phasegate.infra.policy.monitor import MetricPolicy

CONCURRENCY = 8
"""Requests under way at once: enough to finish soon, too few to be a load test."""


@dataclass(frozen=True)
class _Reply:
    ok: bool
    milliseconds: float | None


class Probe:
    """Sends a metric's requests to one service; satisfies `MetricSource`."""

    def __init__(self, metric: MetricPolicy, base_url: str) -> None:
        """Prepare to probe `base_url` + the metric's `path`; nothing is sent yet."""
        self._url = base_url.rstrip("/") + "/" + metric.path.lstrip("/")
        self._requests = metric.requests
        self._timeout = metric.request_timeout

    async def read(self) -> Reading:
        """Send the requests and count.

        A status of 400 or more is an error (the probe asks for a path that should exist, so a 404 is the release's
        fault too), as is no answer within `request_timeout` and a connection that fails. Redirects are not followed
        and are no error. Times are those of answers and of time-outs: a refused connection is fast and says nothing.

        Returns:
            requests, errors, error_rate (0 to 1), and p50_ms, p95_ms, p99_ms and max_ms (nearest rank; NaN when no
            request was answered or timed out), and each single time, as `latency_ms`.
        """
        places = asyncio.Semaphore(CONCURRENCY)
        # trust_env off: a proxy named in the environment has no business between us and our own service
        async with httpx.AsyncClient(timeout=None, trust_env=False) as client:  # noqa: S113  `_send` times the whole request
            replies = await asyncio.gather(*(self._send(client, places) for _ in range(self._requests)))
        return reading_of(replies)

    async def _send(self, client: httpx.AsyncClient, places: asyncio.Semaphore) -> _Reply:
        async with places:
            began = time.perf_counter()
            try:
                async with asyncio.timeout(self._timeout.total_seconds()), client.stream("GET", self._url) as response:
                    async for _ in response.aiter_raw():  # the time to the last byte is what a user waits
                        pass
            except TimeoutError:
                return _Reply(ok=False, milliseconds=_since(began))
            except httpx.HTTPError:
                return _Reply(ok=False, milliseconds=None)
            return _Reply(ok=response.status_code < httpx.codes.BAD_REQUEST, milliseconds=_since(began))


def reading_of(replies: Sequence[_Reply]) -> Reading:
    """The values of one measurement, under the names of `conditions.PROBE_VALUES`, and the times behind them."""
    times = sorted(reply.milliseconds for reply in replies if reply.milliseconds is not None)
    errors = sum(not reply.ok for reply in replies)
    values = {
        "requests": float(len(replies)),
        "errors": float(errors),
        "error_rate": errors / len(replies) if replies else math.nan,
        "p50_ms": percentile(times, 0.50),
        "p95_ms": percentile(times, 0.95),
        "p99_ms": percentile(times, 0.99),
        "max_ms": percentile(times, 1.0),
    }
    return Reading(values, {"latency_ms": tuple(times)})


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of ascending numbers; NaN of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def _since(began: float) -> float:
    return timedelta(seconds=time.perf_counter() - began) / timedelta(milliseconds=1)
