"""Checking a run's trail from the stored rows alone (P13). Knows the schema; trusts nothing it reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Never

from sqlalchemy import Connection, Table, select, text
from sqlalchemy.exc import SQLAlchemyError

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.errors import TrailBroken
from phasegate.infra.ledger import schema
from phasegate.infra.ledger.store import GENESIS, Store, event_hash, row_digest


@dataclass(frozen=True)
class Audit:
    """What was checked and held.

    Attributes:
        run_id: The run.
        events: Events in its chain.
        rows: Rows the chain vouches for.
        head: The hash of its last event.
    """

    run_id: str
    events: int
    rows: int
    head: str


def audit(store: Store, run_id: str) -> Audit:
    """Check the chain, then every row it vouches for, then what rows say of each other.

    Raises:
        TrailBroken: Naming the first row that does not hold.
    """
    try:
        with store.reading() as connection:
            count, head, vouched = _check_chain(connection, run_id)
            _check_rows(connection, run_id, vouched)
            _check_artifacts(connection, vouched)
            _check_exchanges(connection, run_id)
            _check_decisions(connection, run_id)
    except (SQLAlchemyError, UnicodeDecodeError) as error:
        raise TrailBroken(f"the ledger cannot be read: {error}") from error
    return Audit(run_id, count, len(vouched), head)


def _broken(row: str, why: str) -> Never:
    raise TrailBroken(
        f"the audit trail does not hold at {row}: {why}",
        remedy="Compare with a copy of the ledger from before; nothing after this row can be relied on.",
        row=row,
    )


def _stored(connection: Connection, table: str, where: str, value: str, order: str) -> list[dict[str, Any]]:
    """Rows as the database holds them, undecoded."""
    query = text(f'SELECT * FROM "{table}" WHERE {where} = :value ORDER BY {order}')  # noqa: S608  names of our own schema
    return [dict(row) for row in connection.execute(query, {"value": value}).mappings()]


def _check_chain(connection: Connection, run_id: str) -> tuple[int, str, dict[str, str]]:
    previous, vouched = GENESIS, dict[str, str]()
    rows = _stored(connection, "events", "run_id", run_id, "position")
    if not rows:
        _broken(f"events/{run_id}/1", "the run has no events")
    for position, row in enumerate(rows, start=1):
        name = f"events/{run_id}/{position}"
        if row["position"] != position or row["id"] != f"{run_id}/{position}":
            _broken(name, "an event is missing or out of place")
        if row["previous"] != previous:
            _broken(name, "it does not follow the event before it")
        said = event_hash(previous, run_id, position, row["at"], row["kind"], row["actor"], row["payload"])
        if row["hash"] != said:
            _broken(name, "its content does not match its hash")
        vouched.update(json.loads(row["payload"])["rows"])
        previous = row["hash"]
    return len(rows), previous, vouched


def _check_rows(connection: Connection, run_id: str, vouched: dict[str, str]) -> None:
    tables: dict[str, Table] = {table.name: table for table in schema.VOUCHED}
    for name, digest in sorted(vouched.items()):
        table_name, _, row_id = name.partition("/")
        found = row_digest(connection, tables[table_name], row_id)
        if found is None:
            _broken(name, "the row is gone")
        if found != digest:
            _broken(name, "the row is not what its last event says")
    for table in schema.VOUCHED:
        if "run_id" in table.c:
            for row in _stored(connection, table.name, "run_id", run_id, "id"):
                if f"{table.name}/{row['id']}" not in vouched:
                    _broken(f"{table.name}/{row['id']}", "no event speaks of this row")


def _check_artifacts(connection: Connection, vouched: dict[str, str]) -> None:
    for name in sorted(vouched):
        table, _, digest = name.partition("/")
        if table == "artifacts":
            (row,) = _stored(connection, "artifacts", "id", digest, "id")
            if sha256(row["content"]) != digest:
                _broken(name, "the content does not have this digest")


def _check_exchanges(connection: Connection, run_id: str) -> None:
    attempt, body = "", ""
    for row in _stored(connection, "exchanges", "run_id", run_id, "attempt_id, turn"):
        body = ("" if row["attempt_id"] != attempt else body)[: row["request_shared"]] + row["request_rest"]
        attempt = row["attempt_id"]
        if sha256(body) != row["request_digest"]:
            _broken(f"exchanges/{row['id']}", "the request does not have its digest")


def _check_decisions(connection: Connection, run_id: str) -> None:
    subjects = {
        gate.id: gate.subject_digest
        for gate in connection.execute(select(schema.gates).where(schema.gates.c.run_id == run_id))
        if gate.subject_digest
        == sha256(canonical_json({"gate": gate.gate, "number": gate.number, "subject": gate.subject}))
    }
    for row in _stored(connection, "decisions", "run_id", run_id, "id"):
        if subjects.get(row["gate_id"]) != row["subject_digest"]:
            _broken(f"decisions/{row['id']}", "it was not made on this gate's subject")
