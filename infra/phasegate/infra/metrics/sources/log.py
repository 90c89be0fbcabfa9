"""The metric source `log`: a query in DuckDB's SQL over what a release has written.

The query sees table `log` and nothing else: no files, no network. It must not know conditions or verdicts.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import duckdb

from phasegate.infra.errors import TemporaryError
from phasegate.infra.metrics.sources.duckdb_sandbox import add_log, sealed_database
from phasegate.infra.metrics.sources.measured_release import MeasuredRelease
from phasegate.infra.metrics.sources.port import Reading
from phasegate.infra.policy.monitor import MetricPolicy


class LogQuery:
    """Asks one query of a release's log; satisfies `MetricSource`."""

    def __init__(self, metric: MetricPolicy, released: MeasuredRelease) -> None:
        """Prepare the query; nothing is read yet."""
        self._metric = metric
        self._released = released
        self._query = released.filled(metric.query)

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
            with sealed_database(self._metric.request_timeout) as database:
                add_log(database, log)
                result = database.execute(self._query)
                names = [column[0] for column in result.description or ()]
                row = result.fetchone()
        except duckdb.InterruptException as error:
            raise TemporaryError(f"the query took longer than {self._metric.request_timeout}") from error
        except duckdb.Error as error:
            reason = self._released.secrets.mask(str(error).partition("\n")[0]).text
            raise TemporaryError(f"the query over the log is refused: {reason}") from error
        if missing := [name for name in self._metric.values if name not in names]:
            raise TemporaryError(f"the query yields {', '.join(names)} and no {', '.join(missing)}")
        if row is None:
            return dict.fromkeys(self._metric.values, math.nan)
        return {name: _number(name, row[names.index(name)]) for name in self._metric.values}


def _number(name: str, value: Any) -> float:
    if value is None:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TemporaryError(f"the query yields {name!r}, which is no number") from error
