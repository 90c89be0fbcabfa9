"""Many processes' worth of writers on one database: no event lost, none doubled, each chain whole."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Barrier

import pytest
from tests.contracts.ledger.conftest import Desk
from tests.ledgers import Thing, accepted
from tests.postgres import PostgresServer

from phasegate.infra.errors import ConfigError, LeaseHeld, LedgerUnavailable, NotAllowed
from phasegate.infra.identity import Person
from phasegate.infra.ledger import Ledger
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.storage import schema

WRITERS = 6


def test_events_of_one_run_form_one_chain(desk: Desk) -> None:
    """Mutation tried: without the advisory lock, writers on Postgres collide at the same position."""
    desk.accept()
    start = Barrier(WRITERS)

    def write(number: int) -> None:
        ledger = Ledger.open(desk.url)
        start.wait()
        for turn in range(10):
            ledger.note("run-one", EventKind.STAGE_STEP, payload={"writer": number, "turn": turn})
        ledger.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    said = {(event.payload.get("writer"), event.payload.get("turn")) for event in desk.ledger.events("run-one")[1:]}
    assert said == {(writer, turn) for writer in range(WRITERS) for turn in range(10)}
    assert desk.ledger.audit("run-one").events == 1 + WRITERS * 10


def test_an_empty_database_is_migrated_once(database_url: str) -> None:
    start = Barrier(WRITERS)

    def open_it(_: int) -> int:
        start.wait()
        ledger = Ledger.open(database_url)
        found = len(ledger.runs.list())
        ledger.close()
        return found

    with ThreadPoolExecutor(WRITERS) as pool:
        assert list(pool.map(open_it, range(WRITERS))) == [0] * WRITERS


def test_a_new_database_that_somebody_is_just_making_is_waited_for(tmp_path: Path) -> None:
    """Mutation tried: asked for its log once only, SQLite says at once that the database is locked."""
    path = tmp_path / "ledger.db"
    maker = sqlite3.connect(path, isolation_level=None)
    maker.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(Ledger.open, f"sqlite:///{path}")
        assert wait([opened], timeout=0.2).not_done
        maker.execute("COMMIT")
        opened.result(30).close()
    assert maker.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    maker.close()


def test_of_many_engines_one_takes_a_run_and_of_many_people_one_decides(desk: Desk) -> None:
    gate = desk.gate(desk.accept())
    start = Barrier(WRITERS)

    def grab(number: int) -> tuple[bool, bool]:
        ledger = Ledger.open(desk.url, clock=desk.clock)
        start.wait()
        try:
            ledger.leases.take("run-one", f"machine-{number}/1")
            took = True
        except LeaseHeld:
            took = False
        try:
            ledger.gates.decide(gate.id, "approve", Person(f"person-{number}", "local"))
            decided = True
        except NotAllowed:
            decided = False
        ledger.close()
        return took, decided

    with ThreadPoolExecutor(WRITERS) as pool:
        results = list(pool.map(grab, range(WRITERS)))
    assert (sum(took for took, _ in results), sum(decided for _, decided in results)) == (1, 1)
    desk.ledger.audit("run-one")


def test_runs_that_share_an_artifact_are_accepted_at_once(desk: Desk) -> None:
    start = Barrier(WRITERS)

    def accept(number: int) -> None:
        ledger = Ledger.open(desk.url)
        start.wait()
        for turn in range(5):
            accepted(ledger, f"run-{number}-{turn}", ticket=Thing(name=f"ticket-{turn}"))
        ledger.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(accept, range(WRITERS)))
    for run in desk.ledger.runs.list():
        desk.ledger.audit(run.id)
    assert len(desk.ledger.runs.list()) == WRITERS * 5


@pytest.mark.parametrize("url", ["mysql://host/db", "ledger.db", "postgres"])
def test_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="PHASEGATE_DATABASE_URL"):
        Ledger.open(url)


def test_a_connection_cut_in_the_middle_writes_nothing_and_the_next_change_finds_a_fresh_one() -> None:
    """Mutation tried: without `translated` in `Store.writing` the driver's own error comes out."""
    server = PostgresServer()
    try:
        server.start()
        ledger = Ledger.open(server.new_database())
        accepted = Desk(ledger, None, "").accept()  # type: ignore[arg-type]  # accepting asks for no clock
        with pytest.raises(LedgerUnavailable):
            _cut_off_in_the_middle(ledger, server, accepted.id)
        assert [event.kind for event in ledger.events(accepted.id)] == ["run.accepted"]
        server.stop()
        server.start()
        ledger.note(accepted.id, EventKind.STAGE_STEP)
        assert [event.kind for event in ledger.events(accepted.id)] == ["run.accepted", "stage.step"]
        ledger.close()
    finally:
        server.remove()


def _cut_off_in_the_middle(ledger: Ledger, server: PostgresServer, run_id: str) -> None:
    with ledger._store.change(run_id, EventKind.STAGE_STEP, actor="engine") as change:
        server.stop()
        server.start()
        change.row(schema.runs, run_id)
