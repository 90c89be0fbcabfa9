"""Answer to one question about tables, in a process of its own.

Started by `tables` as `python -m phasegate.infra.metrics.sources.duckdb_worker`. Apart from the engine, because DuckDB
bounds its own memory but not that of every function in a query, and because here there is neither a secret nor a ledger
to reach. Reads one JSON document, `{"sql", "log", "rows"}`, and prints another, `{"answer"}` or `{"refused"}`. It
imports little, so that it is there at once.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import duckdb

from phasegate.infra.metrics.sources.duckdb_sandbox import add_log, sealed_database

ROWS, CHARACTERS = 100, 8_000
"""Limits on what is shown of an answer."""
_CELL = 400
_TIME = timedelta(seconds=5)
_MEMORY = 1024**3
_TABLES = """
CREATE TABLE metrics (
    name TEXT, measured_at TIMESTAMP, value_name TEXT, value DOUBLE, baseline DOUBLE, outcome TEXT, why TEXT);
CREATE TABLE events (number BIGINT, happened_at TIMESTAMP, kind TEXT, stage TEXT, payload JSON);
CREATE TABLE hunks (file TEXT, hunk BIGINT, first BIGINT, last BIGINT, added TEXT, removed TEXT);
"""


class Refused(Exception):
    """The query is not answered; the message says why."""


def ask(sql: str, log: str, rows: Mapping[str, Sequence[Sequence[Any]]]) -> str:
    """The answer to one SELECT over the tables.

    Args:
        sql: The SELECT.
        log: What becomes table `log`.
        rows: Table to its rows.

    Raises:
        Refused: It is no single SELECT, does not hold, reaches for something else, or takes too much.
    """
    try:
        with sealed_database(_TIME) as database:
            database.execute(_TABLES)
            for table, given in rows.items():
                if given:
                    places = ", ".join("?" * len(given[0]))
                    database.executemany(f"INSERT INTO {table} VALUES ({places})", given)  # noqa: S608  our own names
            add_log(database, log)
            statements = database.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise Refused("write one SELECT: nothing can be changed")
            result = database.execute(statements[0])
            names = [str(column[0]) for column in result.description or ()]
            return _shown(names, result.fetchmany(ROWS + 1))
    except duckdb.InterruptException as error:
        raise Refused(f"the query took longer than {_TIME.total_seconds():.0f} s") from error
    except duckdb.Error as error:
        raise Refused(str(error).partition("\n")[0]) from error
    except MemoryError as error:
        raise Refused("the query takes too much memory") from error


def _shown(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> str:
    lines = [" | ".join(names), *(" | ".join(map(_cell, row)) for row in rows[:ROWS])]
    if len(rows) > ROWS:
        lines.append(f"… more than {ROWS} rows: count or sum them up, or ask for fewer")
    if not rows:
        lines.append("(no rows)")
    text = "\n".join(lines)
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]}\n… cut: ask for fewer columns or rows"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "null" if value is None else str(value).replace("\n", "\\n")
    return text if len(text) <= _CELL else f"{text[:_CELL]}…"


def main() -> None:
    """Answer what standard input asks."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    request = json.load(sys.stdin)
    try:
        reply = {"answer": ask(request["sql"], request["log"], request["rows"])}
    except Refused as refused:
        reply = {"refused": str(refused)}
    json.dump(reply, sys.stdout)


if __name__ == "__main__":
    main()
