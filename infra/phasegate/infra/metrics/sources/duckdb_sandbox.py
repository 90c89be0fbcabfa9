"""A DuckDB in memory that reaches nothing: no file, no network, no extension, and no way to change that.

Used for queries that others write: over a log as a metric, and over all that a release left behind.
Source: https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from threading import Timer

import duckdb

_SEALED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
    "memory_limit": "256MB",
    "threads": "1",
}
_LOG = """
CREATE TABLE log AS
WITH split AS (SELECT string_split(?, chr(10)) AS lines),
     numbered AS (SELECT generate_subscripts(lines, 1) AS number, unnest(lines) AS line FROM split)
SELECT number, line, try_cast(line AS JSON) AS json FROM numbered WHERE line <> ''
"""


@contextmanager
def sealed_database(timeout: timedelta) -> Generator[duckdb.DuckDBPyConnection]:
    """An empty one, gone with the block; what takes longer in it than this is interrupted.

    Raises:
        duckdb.InterruptException: From a query, once the time is up.
    """
    with duckdb.connect(":memory:", config=_SEALED) as database:
        watch = Timer(timeout.total_seconds(), database.interrupt)
        watch.start()
        try:
            yield database
        finally:
            watch.cancel()
            watch.join()


def add_log(database: duckdb.DuckDBPyConnection, log: str) -> None:
    """Add table `log (number, line, json)`: a row per line that is not empty; `json` is null where it is none."""
    database.execute(_LOG, [log])
