"""P13: whatever byte of a run's rows is changed, the audit says so and names the row."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from tests.integration.ledger.conftest import Desk, Thing

from phasegate.infra.errors import TrailBroken
from phasegate.infra.identity import Person
from phasegate.infra.ledger import Ledger, Usage

UNVOUCHED = {("leases", "expires_at")}
"""Changes every few seconds without an event, and proves nothing."""


@pytest.fixture
def full(desk: Desk, tmp_path: Path) -> Path:
    """The file of a ledger that has a row in every table."""
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
    ledger.close()
    path = tmp_path / "ledger.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def test_an_untouched_trail_holds(full: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{full}")
    audit = ledger.audit("run-one")
    assert (audit.run_id, audit.events, audit.rows) == ("run-one", 14, 12)
    ledger.close()


def test_every_column_of_every_row_is_vouched_for(full: Path, tmp_path: Path) -> None:
    """Mutation tried: dropping any table from `schema.VOUCHED`, or the hash comparison, makes this fail."""
    survivors = [
        f"{table}/{row}.{column}"
        for table, row, column in _cells(full)
        if (table, column) not in UNVOUCHED and not _is_noticed(full, tmp_path, table, row, column)
    ]
    assert survivors == []


def test_a_deleted_row_is_noticed(full: Path, tmp_path: Path) -> None:
    tables = {table for table, _, _ in _cells(full)}
    unnoticed = [table for table in sorted(tables) if not _is_noticed(full, tmp_path, table, None, None)]
    assert unnoticed == []


def test_a_row_nobody_wrote_is_noticed(full: Path) -> None:
    with sqlite3.connect(full) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(decisions)")]
        forged = {"id": "'decision-forged'", "approver": "'eve'"}
        values = ", ".join(forged.get(name, f'"{name}"') for name in columns)
        database.execute(f"INSERT INTO decisions SELECT {values} FROM decisions")
    ledger = Ledger.open(f"sqlite:///{full}")
    with pytest.raises(TrailBroken, match="decisions/decision-forged: no event speaks of this row"):
        ledger.audit("run-one")
    ledger.close()


def _cells(path: Path) -> list[tuple[str, str, str]]:
    """Every cell that holds something, as table, row id, column."""
    database = sqlite3.connect(path)
    names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    cells: list[tuple[str, str, str]] = []
    for table in sorted(set(names) - {"alembic_version"}):
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        for row in database.execute(f"SELECT * FROM {table}"):
            cells += [
                (table, row[0], name) for name, value in zip(columns, row, strict=True) if value not in (None, "")
            ]
    database.close()
    return cells


def _is_noticed(path: Path, tmp_path: Path, table: str, row: str | None, column: str | None) -> bool:
    """Change one cell's last byte (or delete a row) in a copy, and audit it."""
    copy = tmp_path / "copy.db"
    for name in tmp_path.glob("copy.db*"):
        name.unlink()
    shutil.copy(path, copy)
    database = sqlite3.connect(copy)
    if column is None:
        database.execute(f"DELETE FROM {table} WHERE id = (SELECT max(id) FROM {table})")
    else:
        (value,) = database.execute(f"SELECT {column} FROM {table} WHERE id = ?", (row,)).fetchone()
        changed = value + 1000 if isinstance(value, int | float) else value[:-1] + ("x" if value[-1] != "x" else "y")
        database.execute(f"UPDATE {table} SET {column} = ? WHERE id = ?", (changed, row))
    database.commit()
    database.close()
    ledger = Ledger.open(f"sqlite:///{copy}")
    try:
        ledger.audit("run-one")
    except TrailBroken:
        return True
    finally:
        ledger.close()
    return False
