"""P4, P13: a database that alters what is written, or hides what is stored, is refused: triggers, views, rules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, text
from tests.contracts.ledger.conftest import Desk

from phasegate.infra.errors import TrailBroken
from phasegate.infra.identity import Person
from phasegate.infra.ledger import Ledger

BO = Person("bo", "local")
ALTERS = "CREATE TRIGGER t AFTER INSERT ON runs BEGIN UPDATE runs SET title = 'other' WHERE id = NEW.id; END"
IGNORES = "CREATE TRIGGER t BEFORE INSERT ON decisions BEGIN SELECT RAISE(IGNORE); END"
REMOVES = "CREATE TRIGGER t AFTER UPDATE ON runs BEGIN DELETE FROM events; END"
HIDES = ("ALTER TABLE gates RENAME TO g", "CREATE VIEW gates AS SELECT * FROM g WHERE status <> 'open'")
SQLITE = [(ALTERS,), (IGNORES,), (REMOVES,), HIDES]
FUNCTION = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.title := ''other''; RETURN NEW; END'"
POSTGRES = [
    (FUNCTION, "CREATE TRIGGER t BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION f()"),
    ("CREATE RULE t AS ON INSERT TO decisions DO INSTEAD NOTHING",),
    HIDES,
]


@pytest.fixture
def outside(database_url: str) -> Iterator[Engine]:
    """Another way into the same database."""
    url = database_url.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url)
    yield engine
    engine.dispose()


def plant(outside: Engine, statements: tuple[str, ...]) -> None:
    with outside.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


@pytest.mark.parametrize("number", range(4))
def test_what_alters_rows_is_noticed_when_the_ledger_is_opened(desk: Desk, outside: Engine, number: int) -> None:
    """Mutation tried: `connect` without the question."""
    statements = (SQLITE if outside.dialect.name == "sqlite" else [*POSTGRES, POSTGRES[0]])[number]
    plant(outside, statements)
    with pytest.raises(TrailBroken, match="which phasegate did not make"):
        Ledger.open(desk.url)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("statements", SQLITE, ids=["alters", "ignores", "removes", "hides"])
def test_what_is_put_into_an_open_ledger_does_nothing(desk: Desk, outside: Engine, statements: tuple[str, ...]) -> None:
    """Postgres has no such wall: there the next one who opens the ledger is told.

    Mutation tried: connections without an authorizer.
    """
    run = desk.accept()
    gate = desk.gate(run)
    events = len(desk.ledger.events(run.id))
    plant(outside, statements)
    with pytest.raises(TrailBroken, match="which phasegate did not make"):  # noqa: PT012  one of them is touched
        desk.accept("run-two")
        desk.ledger.gates.decide(gate.id, "approve", BO)
        desk.ledger.runs.set_status(run.id, "done")
    with outside.connect() as connection:
        kept = connection.execute(text("SELECT count(*) FROM events WHERE run_id = 'run-one'")).scalar()
        titles = connection.execute(text("SELECT DISTINCT title FROM runs")).scalars().all()
    assert (kept or 0) >= events
    assert "other" not in titles
