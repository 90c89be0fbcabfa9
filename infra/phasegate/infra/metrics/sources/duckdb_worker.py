"""Answer to one question about tables, in a process of its own.

Started by `duckdb_process` as a module. Apart from the engine, because DuckDB bounds its own memory but not that of
every function in a query, and because here there is neither a secret nor a ledger to reach. Reads one JSON document,
`{"sql", "log", "seconds"}` with `"rows"` or with `"values"`, and prints another: `{"answer"}`, `{"numbers"}`,
`{"refused"}` or `{"slow"}`. It imports little, so that it is there at once.
"""

from __future__ import annotations

import json
import math
import resource
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import duckdb

from phasegate.infra.metrics.sources.duckdb_sandbox import add_log, sealed_database

ROWS, CHARACTERS = 100, 8_000
"""Limits on what is shown of an answer."""
_CELL = 400
_MEMORY = 1024**3
_TABLES = """
CREATE TABLE metrics (
    name TEXT, measured_at TIMESTAMP, value_name TEXT, value DOUBLE, baseline DOUBLE, outcome TEXT, why TEXT);
CREATE TABLE events (number BIGINT, happened_at TIMESTAMP, kind TEXT, stage TEXT, payload JSON);
CREATE TABLE hunks (file TEXT, hunk BIGINT, first BIGINT, last BIGINT, added TEXT, removed TEXT);
"""


class Refused(Exception):
    """The query is not answered; the message says why."""


class TooSlow(Refused):
    """The query took too long."""


def ask(sql: str, log: str, rows: Mapping[str, Sequence[Sequence[Any]]], time: timedelta) -> str:
    """The answer to one SELECT over the tables.

    Args:
        sql: The SELECT.
        log: What becomes table `log`.
        rows: Table to its rows.
        time: The most that the query may take.

    Raises:
        Refused: It is no single SELECT, does not hold, reaches for something else, or takes too much.
    """
    with _refusing(time), sealed_database(time) as database:
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


def numbers(sql: str, log: str, values: Sequence[str], time: timedelta) -> list[float | None]:
    """The numbers of the first row of a query over a release's log; `None` for null, and for all without a row.

    Args:
        sql: The query.
        log: What becomes table `log`.
        values: Names of the columns.
        time: The most that the query may take.

    Raises:
        Refused: It does not hold, reaches for something else, does not yield those numbers, or takes too much.
    """
    with _refusing(time), sealed_database(time) as database:
        add_log(database, log)
        result = database.execute(sql)
        names = [str(column[0]) for column in result.description or ()]
        row = result.fetchone()
    if missing := [name for name in values if name not in names]:
        raise Refused(f"the query yields {', '.join(names)[:_CELL]} and no {', '.join(missing)}")
    return [None if row is None else _number(name, row[names.index(name)]) for name in values]


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Refused(f"the query yields {name!r}, which is no number") from error
    return number if math.isfinite(number) else None


@contextmanager
def _refusing(time: timedelta) -> Generator[None]:
    """Translate DuckDB's errors."""
    try:
        yield
    except duckdb.InterruptException as error:
        raise TooSlow(f"the query took longer than {time.total_seconds():g} s") from error
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


def _reply(request: Mapping[str, Any], time: timedelta) -> dict[str, Any]:
    if "values" in request:
        return {"numbers": numbers(request["sql"], request["log"], request["values"], time)}
    return {"answer": ask(request["sql"], request["log"], request["rows"], time)}


def main() -> None:
    """Answer what standard input asks."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    request = json.load(sys.stdin)
    try:
        reply = _reply(request, timedelta(seconds=request["seconds"]))
    except TooSlow as refused:
        reply = {"slow": str(refused)}
    except Refused as refused:
        reply = {"refused": str(refused)}
    json.dump(reply, sys.stdout)


if __name__ == "__main__":
    main()
