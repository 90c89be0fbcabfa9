"""A run's rows exactly as they are stored, wherever that is: what the audit reads, and what an export writes.

Two places: the database, and a bundle that left the machine (`flows.runs.audit_bundle`). The readers of these rows
trust none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from sqlalchemy import Connection, text

from phasegate.infra.documents.json_text import read_stored_json
from phasegate.infra.ledger.storage import schema

Row: TypeAlias = Mapping[str, Any]
TABLES = tuple(table.name for table in (*schema.VOUCHED, schema.events))


class Rows(Protocol):
    """Rows, undecoded: text and numbers as the database holds them."""

    def of_run(self, table: str, run_id: str) -> Sequence[Row]:
        """The rows of a table that carry a run's id, by their own ids; for `runs`, the run itself."""
        ...

    def find(self, table: str, row_id: str) -> Row | None:
        """The row with this id, if it is there."""
        ...


class DatabaseRows:
    """Rows in the ledger's database."""

    def __init__(self, connection: Connection) -> None:
        """Read through an open connection."""
        self._connection = connection

    def of_run(self, table: str, run_id: str) -> Sequence[Row]:
        """As `Rows.of_run`."""
        return self._select(table, "id" if table == "runs" else "run_id", run_id)

    def find(self, table: str, row_id: str) -> Row | None:
        """As `Rows.find`."""
        return next(iter(self._select(table, "id", row_id)), None)

    def _select(self, table: str, column: str, value: str) -> list[Row]:
        if table not in TABLES:
            return []
        query = text(f'SELECT * FROM "{table}" WHERE {column} = :value ORDER BY id')  # noqa: S608  names of our own schema
        return [dict(row) for row in self._connection.execute(query, {"value": value}).mappings()]


class ExportedRows:
    """Rows that left the machine, of a run and those it replays: table to rows."""

    def __init__(self, tables: Mapping[str, Sequence[Row]]) -> None:
        """Read what `exported` made."""
        self._tables = {name: {str(row["id"]): row for row in rows} for name, rows in tables.items()}

    def of_run(self, table: str, run_id: str) -> Sequence[Row]:
        """As `Rows.of_run`."""
        column = "id" if table == "runs" else "run_id"
        return [row for row in self._tables.get(table, {}).values() if row.get(column) == run_id]

    def find(self, table: str, row_id: str) -> Row | None:
        """As `Rows.find`."""
        return self._tables.get(table, {}).get(row_id)


def lineage(rows: Rows, run_id: str) -> list[str]:
    """A run, the run it replays, and so on: what approvals and stages of the first may rest on."""
    run_ids = list[str]()
    upcoming = run_id
    while upcoming and upcoming not in run_ids:
        run_ids.append(upcoming)
        run = rows.find("runs", upcoming)
        origin = read_stored_json(run["origin"] or "null") if run is not None else None
        upcoming = str(origin["run"]) if origin is not None and origin["mode"] == "replay" else ""
    return run_ids


def exported(rows: Rows, run_id: str) -> dict[str, list[Row]]:
    """All that a run's trail consists of, by table, and the trails of the runs it replays.

    Artifacts are those the events speak of.
    """
    runs = lineage(rows, run_id)
    tables = {name: [row for run in runs for row in rows.of_run(name, run)] for name in TABLES if name != "artifacts"}
    named = {name for event in tables["events"] for name in read_stored_json(event["payload"])["rows"]}
    digests = sorted(name.partition("/")[2] for name in named if name.startswith("artifacts/"))
    artifacts = [rows.find("artifacts", digest) for digest in digests]
    return {**tables, "artifacts": [row for row in artifacts if row is not None]}
