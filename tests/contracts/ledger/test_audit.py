"""P13: whatever byte of a run's rows is changed, the audit says so and names the row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, Table, create_engine, delete, insert, select, update
from tests.contracts.ledger.conftest import Desk
from tests.ledgers import Thing

from phasegate.infra.errors import TrailBroken
from phasegate.infra.identity import Person
from phasegate.infra.ledger import Ledger, Usage

UNVOUCHED = {("leases", "expires_at"), ("leases", "released_at")}
"""Changes every few seconds without an event, and proves nothing."""


def test_an_artifact_that_was_altered_is_not_read(desk: Desk) -> None:
    """P4: what a person is shown is what its digest names. Mutation tried: `Artifacts.text` without the comparison."""
    run = desk.accept()
    engine = create_engine(desk.url.replace("postgresql://", "postgresql+psycopg://"))
    table = Table("artifacts", MetaData(), autoload_with=engine)
    assert desk.ledger.artifacts.text(run.ticket)
    with engine.begin() as connection:
        connection.execute(update(table).values(content=table.c.content + " "))
    engine.dispose()
    for read in (desk.ledger.artifacts.text, desk.ledger.artifacts.json, lambda digest: _read(desk, digest)):
        with pytest.raises(TrailBroken, match="was altered"):
            read(run.ticket)


def _read(desk: Desk, digest: str) -> Thing:
    return desk.ledger.artifacts.get(digest, Thing)


@pytest.fixture
def full(desk: Desk) -> Ledger:
    """A ledger that has a row in every table."""
    ledger, run = desk.ledger, desk.accept()
    attempt, lease = ledger.attempts.begin(
        run.id, "prd", "", 1, inputs={"ticket": "sha256:t"}, model="openai:m", prompt="sha256:p", holder="here/1"
    )
    assert lease is not None
    previous = b""
    for turn, body in enumerate([b'{"input":["a"', b'{"input":["a","b"'], start=1):
        ledger.exchanges.record(
            attempt,
            turn,
            model="openai:m",
            request=body,
            previous=previous,
            reply={"role": "assistant", "text": "hi", "calls": []},
            response="data: x",
            usage=Usage(input_tokens=3, output_tokens=4),
            cost_usd=0.5,
            latency_seconds=0.25,
        )
        previous = body
    ledger.messages.queue(run.id, "be quick", sender="ana")
    ledger.messages.deliver(attempt, 3)
    ledger.attempts.checkpoint(attempt, "c0ffee")
    ledger.attempts.finish(attempt, lease, Thing(name="prd"))
    gate = desk.gate(run)
    ledger.gates.decide(gate.id, "approve", Person("bo", "local"), note="fine")
    effect = ledger.effects.intend(run.id, "merge", "run-one/merge", intent={"a": 1}, compensation="revert")
    ledger.effects.done(effect, {"commit": "abc"})
    ledger.effects.undone(effect, {"commit": "def"})
    ledger.runs.set_status(run.id, "done")
    return ledger


@pytest.fixture
def intruder(full: Ledger, desk: Desk) -> Iterator[tuple[Connection, MetaData]]:
    """A way into the database past the ledger, with its tables as the database describes them."""
    engine = create_engine(desk.url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    tables = MetaData()
    with engine.connect() as connection:
        tables.reflect(connection)
        yield connection, tables
    engine.dispose()


def test_an_untouched_trail_holds(full: Ledger) -> None:
    audit = full.audit("run-one")
    assert (audit.run_id, audit.events) == ("run-one", len(full.events("run-one")))
    assert audit.rows == 12


def test_every_column_of_every_row_is_vouched_for(full: Ledger, intruder: tuple[Connection, MetaData]) -> None:
    """Mutations tried: `leases` dropped from `schema.VOUCHED`; an event's hash left uncompared."""
    connection, tables = intruder
    survivors: list[str] = []
    for table, row, column in _cells(connection, tables):
        cell = update(table).where(table.c.id == row["id"])
        value = row[column]
        changed = value + 1000 if isinstance(value, int | float) else value[:-1] + ("x" if value[-1] != "x" else "y")
        connection.execute(cell.values({column: changed}))
        if (table.name, column) not in UNVOUCHED and not _is_noticed(full):
            survivors.append(f"{table.name}/{row['id']}.{column}")
        changed_id = changed if column == "id" else row["id"]
        connection.execute(update(table).where(table.c.id == changed_id).values({column: value}))
    assert survivors == []
    assert not _is_noticed(full)


def test_a_deleted_row_is_noticed(full: Ledger, intruder: tuple[Connection, MetaData]) -> None:
    connection, tables = intruder
    unnoticed: list[str] = []
    last = {table.name: (table, row) for table, row, _ in _cells(connection, tables)}
    for name, (table, row) in last.items():
        connection.execute(delete(table).where(table.c.id == row["id"]))
        if not _is_noticed(full):
            unnoticed.append(name)
        connection.execute(insert(table).values(row))
    assert unnoticed == []


def test_a_row_nobody_wrote_is_noticed(full: Ledger, intruder: tuple[Connection, MetaData]) -> None:
    connection, tables = intruder
    table = tables.tables["decisions"]
    row = dict(connection.execute(select(table)).mappings().one())
    connection.execute(insert(table).values({**row, "id": "decision-forged", "approver": "eve"}))
    with pytest.raises(TrailBroken, match="decisions/decision-forged: no event speaks of this row"):
        full.audit("run-one")


def _cells(connection: Connection, tables: MetaData) -> list[tuple[Table, dict[str, Any], str]]:
    """Every cell that holds something: its table, its row as it is, its column."""
    return [
        (table, dict(row), column)
        for name, table in sorted(tables.tables.items())
        if name != "alembic_version"
        for row in connection.execute(select(table).order_by(table.c.id)).mappings()
        for column, value in row.items()
        if value not in (None, "")
    ]


def _is_noticed(ledger: Ledger) -> bool:
    try:
        ledger.audit("run-one")
    except TrailBroken:
        return True
    return False
