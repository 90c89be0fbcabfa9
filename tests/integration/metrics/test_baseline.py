"""A candidate measured beside the release that serves, over real requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from tests.integration.metrics.conftest import MakeReleased

from phasegate.infra.metrics.analysis.clock import RealClock
from phasegate.infra.metrics.analysis.measure import measure
from phasegate.infra.metrics.report import MetricReport
from phasegate.infra.metrics.sources.measured_release import MeasuredRelease
from phasegate.infra.metrics.sources.open import baseline_of, source_of
from phasegate.infra.policy.monitor import MetricPolicy

Serve = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture
def serve() -> Serve:
    """Answers on a loopback port, each `failing`-th time with 500, each answer this much later."""

    @asynccontextmanager
    async def serving(*, failing: int = 0, later: float = 0) -> AsyncGenerator[str]:
        asked = 0

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            await reader.readuntil(b"\r\n\r\n")
            asked += 1
            code = 500 if failing and asked % failing == 0 else 200
            await asyncio.sleep(later)
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % code)
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    return serving


async def verdict(of: MetricPolicy, ours: MeasuredRelease, theirs: MeasuredRelease | None) -> MetricReport:
    report = await measure(
        [of],
        partial(source_of, released=ours),
        RealClock(),
        lambda _name, _taken: None,
        lambda one: baseline_of(one, ours, theirs),
    )
    return report.metrics[0]


def metric(**keys: Any) -> MetricPolicy:
    return MetricPolicy(name="m", requests=25, count=4, interval=timedelta(0), **keys)


async def test_errors_that_the_release_before_did_not_have(serve: Serve, released: MakeReleased) -> None:
    of = metric(compare="error_rate")
    async with serve(failing=5) as bad, serve() as good:
        found = await verdict(of, replace(released(), url=bad), replace(released(), release_id="rel-0", url=good))
    assert (found.verdict, found.comparison and found.comparison.baseline) == ("failed", "rel-0")
    assert found.measurements[0].values["error_rate"] == 0.2
    assert found.measurements[0].baseline["error_rate"] == 0.0


async def test_errors_that_the_release_before_has_too_are_not_the_candidates(
    serve: Serve, released: MakeReleased
) -> None:
    of = metric(compare="error_rate")
    async with serve(failing=5) as ours, serve(failing=5) as theirs:
        found = await verdict(of, replace(released(), url=ours), replace(released(), url=theirs))
    assert (found.verdict, len(found.measurements)) == ("passed", 4)


async def test_slower_without_any_error(serve: Serve, released: MakeReleased) -> None:
    of = metric(compare="latency_ms", tolerance=0.5)
    async with serve(later=0.16) as ours, serve(later=0.02) as theirs:  # a busy machine adds the same to both
        found = await verdict(of, replace(released(), url=ours), replace(released(), url=theirs))
    assert found.verdict == "failed"
    assert found.comparison is not None
    assert (found.comparison.candidate_value or 0) > 1.5 * (found.comparison.baseline_value or 0)


@pytest.mark.parametrize(
    ("beside", "says"),
    [(False, "no other release serves at the same time"), (True, "a probe cannot tell them apart")],
)
async def test_nothing_to_compare_with_is_never_passed(
    serve: Serve, released: MakeReleased, beside: bool, says: str
) -> None:
    of = metric(compare="error_rate", failure_condition="error_rate > 0.5")
    async with serve() as url:
        ours = replace(released(), url=url)
        found = await verdict(of, ours, replace(ours, release_id="rel-0") if beside else None)
    assert found.verdict == "inconclusive"
    assert says in found.reason
