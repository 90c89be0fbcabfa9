"""The metric source `log`: a query in DuckDB's SQL over what a release has written.

The query sees table `log` and nothing else: no files, no network. It must not know conditions or verdicts.
"""

from __future__ import annotations

import asyncio
import math

from phasegate.infra.errors import TemporaryError
from phasegate.infra.metrics.sources.duckdb_process import QueryRefused, QueryTooSlow, ask_duckdb
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
            TemporaryError: The query is refused, takes too long or too much memory, or does not yield those numbers.
        """
        return Reading(await asyncio.to_thread(self._read, await self._released.log()))

    def _read(self, log: str) -> dict[str, float]:
        values = self._metric.values
        request = {"sql": self._query, "log": log, "values": list(values)}
        try:
            numbers: list[float | None] = ask_duckdb(request, self._metric.request_timeout)["numbers"]
        except QueryTooSlow as error:
            raise TemporaryError(f"the query took longer than {self._metric.request_timeout}") from error
        except QueryRefused as error:
            reason = self._released.secrets.mask(str(error)).text
            raise TemporaryError(f"the query over the log is refused: {reason}") from error
        return {name: math.nan if number is None else number for name, number in zip(values, numbers, strict=True)}
