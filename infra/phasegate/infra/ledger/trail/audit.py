"""Checking a run's trail from the stored rows alone (P13), in the database or in a bundle. Trusts nothing it reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from phasegate.infra.artifacts import sha256
from phasegate.infra.documents.json_text import read_stored_json
from phasegate.infra.errors import TrailBroken
from phasegate.infra.ledger.chain import is_as_accepted
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.packing import requests
from phasegate.infra.ledger.storage.store import GENESIS, Store, digest_of_row, event_hash
from phasegate.infra.ledger.trail.commands import check_commands
from phasegate.infra.ledger.trail.decisions import broken, check_decisions
from phasegate.infra.ledger.trail_rows import DatabaseRows, Rows

Heads = Iterable[tuple[int, str]]
"""Positions and hashes of events, as they were seen outside of the ledger."""


@dataclass(frozen=True)
class TrailAudit:
    """Result of an audit that found nothing wrong.

    Attributes:
        run_id: The run.
        events: Events in its chain.
        rows: Rows the chain vouches for.
        signatures: Signatures of people that were verified.
        head: The hash of its last event.
    """

    run_id: str
    events: int
    rows: int
    signatures: int
    head: str


def audit(store: Store, run_id: str, heads: Heads = ()) -> TrailAudit:
    """As `audit_rows`, on the database.

    Raises:
        TrailBroken: Naming the first row that does not hold.
    """
    try:
        with store.reading() as connection:
            return audit_rows(DatabaseRows(connection), run_id, heads)
    except SQLAlchemyError as error:
        raise TrailBroken(f"the ledger cannot be read: {error}") from error


def audit_chain(store: Store, run_id: str, heads: Heads) -> None:
    """Check a run's events alone, and that each head is among them: what has to be quick.

    Raises:
        TrailBroken: Naming the first event that does not hold.
    """
    with store.reading() as connection:
        hashes, _ = _check_chain(DatabaseRows(connection), run_id)
    _check_heads(run_id, hashes, heads)


def audit_rows(rows: Rows, run_id: str, heads: Heads = ()) -> TrailAudit:
    """Check the chain, what others saw of it, every row it vouches for, and who decided and commanded what.

    Args:
        rows: Where the rows are.
        run_id: The run.
        heads: Heads of the chain at some moments, as kept outside of the ledger.

    Raises:
        TrailBroken: Naming the first row that does not hold.
        ConfigError: There are signatures to verify, and ssh-keygen is missing.
    """
    try:
        hashes, vouched = _check_chain(rows, run_id)
        _check_heads(run_id, hashes, heads)
        _check_rows(rows, run_id, vouched)
        if not is_as_accepted(rows, run_id):
            broken(f"runs/{run_id}", "the run is not what was accepted")
        _check_artifacts(rows, vouched)
        _check_exchanges(rows, run_id)
        signatures = check_decisions(rows, run_id) + check_commands(rows, run_id)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise TrailBroken(f"the trail's rows are not what phasegate stores: {error!r}") from error
    return TrailAudit(run_id, len(hashes), len(vouched), signatures, hashes[-1])


def _check_chain(rows: Rows, run_id: str) -> tuple[list[str], dict[str, str]]:
    hashes, vouched = [GENESIS], dict[str, str]()
    events = sorted(rows.of_run("events", run_id), key=lambda row: int(row["position"]))
    if not events:
        broken(f"events/{run_id}/1", "the run has no events")
    for position, row in enumerate(events, start=1):
        name = f"events/{run_id}/{position}"
        if row["position"] != position or row["id"] != f"{run_id}/{position}":
            broken(name, "an event is missing or out of place")
        if row["previous"] != hashes[-1]:
            broken(name, "it does not follow the event before it")
        computed = event_hash(hashes[-1], run_id, position, row["at"], row["kind"], row["actor"], row["payload"])
        if row["hash"] != computed:
            broken(name, "its content does not match its hash")
        vouched.update(read_stored_json(row["payload"])["rows"])
        hashes.append(row["hash"])
    return hashes[1:], vouched


def _check_heads(run_id: str, hashes: list[str], heads: Heads) -> None:
    for position, head in heads:
        name = f"events/{run_id}/{position}"
        if position < 1:
            broken(name, "no event has such a position")
        if position > len(hashes):
            broken(name, f"git has seen it as the chain's head, and the chain ends at {len(hashes)}: it was cut off")
        if hashes[position - 1] != head:
            broken(name, "git has seen another event in its place: the ledger was put back and went on from there")


def _check_rows(rows: Rows, run_id: str, vouched: dict[str, str]) -> None:
    for name, digest in sorted(vouched.items()):
        table, _, row_id = name.partition("/")
        stored = rows.find(table, row_id)
        if stored is None:
            broken(name, "the row is gone")
        if digest_of_row(table, stored) != digest:
            broken(name, "the row is not what its last event says")
    for owned in schema.VOUCHED:
        if owned.name != "artifacts":
            for row in rows.of_run(owned.name, run_id):
                if f"{owned.name}/{row['id']}" not in vouched:
                    broken(f"{owned.name}/{row['id']}", "no event speaks of this row")


def _check_artifacts(rows: Rows, vouched: dict[str, str]) -> None:
    for name in sorted(vouched):
        table, _, digest = name.partition("/")
        row = rows.find("artifacts", digest) if table == "artifacts" else None
        if row is not None and sha256(row["content"]) != digest:
            broken(name, "the content does not have this digest")


def _check_exchanges(rows: Rows, run_id: str) -> None:
    exchanges = sorted(rows.of_run("exchanges", run_id), key=lambda row: (row["attempt_id"], int(row["turn"])))
    bodies = requests(exchanges, {str(row["id"]): str(row["entry"]) for row in rows.of_run("turns", run_id)})
    for row in exchanges:
        try:
            digest = sha256(next(bodies))
        except ValueError as error:
            broken(f"exchanges/{row['id']}", f"the request cannot be put together: {error}")
        if digest != row["request_digest"]:
            broken(f"exchanges/{row['id']}", "the request does not have its digest")
