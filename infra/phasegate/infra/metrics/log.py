"""The metric source `log`: a query in DuckDB's SQL over what a release has written.

The query sees table `log` and nothing else: no files, no network. It must not know conditions or verdicts.
Source: https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from threading import Timer
from typing import Any

import duckdb

from phasegate.infra.errors import TemporaryError
from phasegate.infra.metrics.reading import Reading
from phasegate.infra.metrics.released import Released
from phasegate.infra.policy.monitor import MetricPolicy

_SEALED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
    "memory_limit": "256MB",
    "threads": "1",
}
_TABLE = """
CREATE TABLE log AS
WITH split AS (SELECT string_split(?, chr(10)) AS lines),
     numbered AS (SELECT generate_subscripts(lines, 1) AS number, unnest(lines) AS line FROM split)
SELECT number, line, try_cast(line AS JSON) AS json FROM numbered WHERE line <> ''
"""


class LogQuery:
    """Asks one query of a release's log; satisfies `MetricSource`."""

    def __init__(self, metric: MetricPolicy, released: Released) -> None:
        """Prepare the query; nothing is read yet."""
        self._metric = metric
        self._released = released
        self._query = released.told(metric.query)

    async def read(self) -> Reading:
        """Ask once.

        Returns:
            The numbers that policy names, from the first row; NaN for null, and for all when there is no row.

        Raises:
            TemporaryError: The query is refused, takes too long, or does not yield those numbers.
        """
        return Reading(await asyncio.to_thread(self._read, await self._released.log()))

    def _read(self, log: str) -> dict[str, float]:
        try:
            with _connected(self._metric.request_timeout) as database:
                database.execute(_TABLE, [log])
                found = database.execute(self._query)
                names = [column[0] for column in found.description or ()]
                row = found.fetchone()
        except duckdb.InterruptException as error:
            raise TemporaryError(f"the query took longer than {self._metric.request_timeout}") from error
        except duckdb.Error as error:
            said = self._released.secrets.mask(str(error).partition("\n")[0]).text
            raise TemporaryError(f"the query over the log is refused: {said}") from error
        if missing := [name for name in self._metric.values if name not in names]:
            raise TemporaryError(f"the query yields {', '.join(names)} and no {', '.join(missing)}")
        if row is None:
            return dict.fromkeys(self._metric.values, math.nan)
        return {name: _number(name, row[names.index(name)]) for name in self._metric.values}


@contextmanager
def _connected(timeout: timedelta) -> Generator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config=_SEALED) as database:
        watch = Timer(timeout.total_seconds(), database.interrupt)
        watch.start()
        try:
            yield database
        finally:
            watch.cancel()
            watch.join()


def _number(name: str, value: Any) -> float:
    if value is None:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TemporaryError(f"the query yields {name!r}, which is no number") from error
