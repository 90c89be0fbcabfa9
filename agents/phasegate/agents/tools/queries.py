"""`query`: SQL over the data that a release left behind."""

from __future__ import annotations

import asyncio

from pydantic import Field

from phasegate.agents.tools.failure import ToolFailure
from phasegate.agents.tools.files import Arguments
from phasegate.infra.metrics.sources.duckdb_process import QueryRefused
from phasegate.infra.metrics.tables import Tables


class Query(Arguments):
    """Ask what was measured, logged, done and changed, with one SELECT in DuckDB's SQL.

    Tables: metrics(name, measured_at, value_name, value, baseline, outcome, why), log(number, line, json),
    events(number, happened_at, kind, stage, payload), hunks(file, hunk, first, last, added, removed).
    """

    sql: str = Field(max_length=4_000)
    """E.g. SELECT json->>'status' AS status, count(*) FROM log GROUP BY ALL"""


async def query(tables: Tables, arguments: Query) -> str:
    """The answer, as `Tables.ask` shows it."""
    try:
        return await asyncio.to_thread(tables.ask, arguments.sql)
    except QueryRefused as refused:
        raise ToolFailure(f"not answered: {refused}") from refused
