"""Checking a run's trail from the stored rows alone (P13), in the database or in a bundle. Trusts nothing it reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Never

from sqlalchemy.exc import SQLAlchemyError

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.errors import TrailBroken
from phasegate.infra.ledger import schema
from phasegate.infra.ledger.rows import DatabaseRows, Row, Rows
from phasegate.infra.ledger.store import GENESIS, Store, digest_of_row, event_hash

Heads = Iterable[tuple[int, str]]
"""Positions and hashes of events, as somebody outside of the ledger saw them."""


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


def audit(store: Store, run_id: str, heads: Heads = ()) -> Audit:
    """As `audit_rows`, on the database.

    Raises:
        TrailBroken: Naming the first row that does not hold.
    """
    try:
        with store.reading() as connection:
            return audit_rows(DatabaseRows(connection), run_id, heads)
    except SQLAlchemyError as error:
        raise TrailBroken(f"the ledger cannot be read: {error}") from error


def audit_rows(rows: Rows, run_id: str, heads: Heads = ()) -> Audit:
    """Check the chain, what others saw of it, every row it vouches for, and what rows say of each other.

    Args:
        rows: Where the rows are.
        run_id: The run.
        heads: What the chain's head was at some moments, as kept elsewhere.

    Raises:
        TrailBroken: Naming the first row that does not hold.
    """
    try:
        hashes, vouched = _check_chain(rows, run_id)
        _check_heads(run_id, hashes, heads)
        _check_rows(rows, run_id, vouched)
        _check_artifacts(rows, vouched)
        _check_exchanges(rows, run_id)
        _check_decisions(rows, run_id)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise TrailBroken(f"the trail's rows are not what phasegate stores: {error!r}") from error
    return Audit(run_id, len(hashes), len(vouched), hashes[-1])


def _broken(row: str, why: str) -> Never:
    raise TrailBroken(
        f"the audit trail does not hold at {row}: {why}",
        remedy="Compare with a copy of the ledger from before; nothing after this row can be relied on.",
        row=row,
    )


def _check_chain(rows: Rows, run_id: str) -> tuple[list[str], dict[str, str]]:
    hashes, vouched = [GENESIS], dict[str, str]()
    events = sorted(rows.of_run("events", run_id), key=lambda row: int(row["position"]))
    if not events:
        _broken(f"events/{run_id}/1", "the run has no events")
    for position, row in enumerate(events, start=1):
        name = f"events/{run_id}/{position}"
        if row["position"] != position or row["id"] != f"{run_id}/{position}":
            _broken(name, "an event is missing or out of place")
        if row["previous"] != hashes[-1]:
            _broken(name, "it does not follow the event before it")
        said = event_hash(hashes[-1], run_id, position, row["at"], row["kind"], row["actor"], row["payload"])
        if row["hash"] != said:
            _broken(name, "its content does not match its hash")
        vouched.update(json.loads(row["payload"])["rows"])
        hashes.append(row["hash"])
    return hashes[1:], vouched


def _check_heads(run_id: str, hashes: list[str], heads: Heads) -> None:
    for position, seen in heads:
        name = f"events/{run_id}/{position}"
        if position > len(hashes):
            _broken(name, f"git has seen it as the chain's head, and the chain ends at {len(hashes)}: it was cut off")
        if hashes[position - 1] != seen:
            _broken(name, "git has seen another event in its place: the ledger was put back and went on from there")


def _check_rows(rows: Rows, run_id: str, vouched: dict[str, str]) -> None:
    for name, digest in sorted(vouched.items()):
        table, _, row_id = name.partition("/")
        found = rows.one(table, row_id)
        if found is None:
            _broken(name, "the row is gone")
        if digest_of_row(table, found) != digest:
            _broken(name, "the row is not what its last event says")
    for known in schema.VOUCHED:
        if known.name != "artifacts":
            for row in rows.of_run(known.name, run_id):
                if f"{known.name}/{row['id']}" not in vouched:
                    _broken(f"{known.name}/{row['id']}", "no event speaks of this row")


def _check_artifacts(rows: Rows, vouched: dict[str, str]) -> None:
    for name in sorted(vouched):
        table, _, digest = name.partition("/")
        row = rows.one("artifacts", digest) if table == "artifacts" else None
        if row is not None and sha256(row["content"]) != digest:
            _broken(name, "the content does not have this digest")


def _check_exchanges(rows: Rows, run_id: str) -> None:
    attempt, body = "", ""
    for row in sorted(rows.of_run("exchanges", run_id), key=lambda row: (row["attempt_id"], int(row["turn"]))):
        body = ("" if row["attempt_id"] != attempt else body)[: row["request_shared"]] + row["request_rest"]
        attempt = row["attempt_id"]
        if sha256(body) != row["request_digest"]:
            _broken(f"exchanges/{row['id']}", "the request does not have its digest")


def _check_decisions(rows: Rows, run_id: str) -> None:
    subjects = {gate["id"]: gate["subject_digest"] for gate in rows.of_run("gates", run_id) if _is_of_its_subject(gate)}
    for row in rows.of_run("decisions", run_id):
        if subjects.get(row["gate_id"]) != row["subject_digest"]:
            _broken(f"decisions/{row['id']}", "it was not made on this gate's subject")


def _is_of_its_subject(gate: Row) -> bool:
    subject = {"gate": gate["gate"], "number": gate["number"], "subject": json.loads(gate["subject"])}
    return bool(gate["subject_digest"] == sha256(canonical_json(subject)))
