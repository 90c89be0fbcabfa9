"""A query over a release's log as a metric source."""

from __future__ import annotations

import math
import os
from datetime import timedelta
from pathlib import Path

import pytest
from tests.integration.metrics.conftest import MakeReleased

from phasegate.infra.errors import TemporaryError
from phasegate.infra.metrics.sources.measured_release import MeasuredRelease
from phasegate.infra.metrics.sources.open import source_of
from phasegate.infra.policy.monitor import MetricPolicy

LOG = """starting
{"status": 200, "ms": 10}
{"status": 500, "ms": 30}

{"status": 200, "ms": 20}
"""
RATE = """
SELECT avg(((json->>'status')::int >= 500)::int) AS rate, quantile_cont((json->>'ms')::double, 0.5) AS p50
FROM log WHERE json IS NOT NULL
"""


async def ask(query: str, of: MeasuredRelease, *, seconds: float = 10) -> dict[str, float]:
    metric = MetricPolicy(
        name="m", source="log", query=query, values=("rate", "p50"), request_timeout=timedelta(seconds=seconds)
    )
    return dict((await source_of(metric, of).read()).values)


async def test_what_a_query_counts(released: MakeReleased) -> None:
    assert await ask(RATE, released(LOG)) == {"rate": pytest.approx(1 / 3), "p50": 20.0}


async def test_lines_have_their_numbers(released: MakeReleased) -> None:
    query = "SELECT max(number) AS rate, count(*) AS p50 FROM log"
    assert await ask(query, released(LOG)) == {"rate": 5.0, "p50": 4.0}


@pytest.mark.parametrize("log", ["", "nothing that is JSON"])
async def test_nothing_to_count_is_not_a_number(released: MakeReleased, log: str) -> None:
    assert all(math.isnan(value) for value in (await ask(RATE, released(log))).values())


async def test_no_row_is_nothing_to_count(released: MakeReleased) -> None:
    found = await ask("SELECT 1 AS rate, 2 AS p50 WHERE false", released(LOG))
    assert all(math.isnan(value) for value in found.values())


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELEC 1", "refused: Parser Error"),
        ("SELECT 1 AS rate", "yields rate and no p50"),
        ("SELECT 'x' AS rate, 1 AS p50", "'rate', which is no number"),
        ("SELECT size AS rate, 1 AS p50 FROM read_blob('{file}')", "refused: Permission Error"),
        ("COPY log TO '{file}.copy'", "refused: Permission Error"),
        ("ATTACH '{file}.db'", "refused: Permission Error"),
        ("SET enable_external_access = true", "refused: "),
        ("INSTALL httpfs", "refused: "),
    ],
)
async def test_it_sees_the_log_and_nothing_else(released: MakeReleased, tmp_path: Path, query: str, says: str) -> None:
    """Mutation tried: nothing of `_SEALED` is set."""
    file = tmp_path / "file"
    file.write_text("content")
    with pytest.raises(TemporaryError, match=says):
        await ask(query.replace("{file}", str(file)), released(LOG))
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208 -- `iterdir` is for code that blocks


async def test_a_query_that_takes_too_long_is_ended(released: MakeReleased) -> None:
    endless = (
        "SELECT count(*) AS rate, 1 AS p50 FROM range(10000000000) a, range(1000000) b WHERE a.range % 7 = b.range"
    )
    with pytest.raises(TemporaryError, match="took longer than"):
        await ask(endless, released(LOG), seconds=0.5)
