"""A ledger of an earlier format is opened by today's code, and means what it meant."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import create_engine, text
from tests.contracts.ledger.conftest import Desk

from phasegate.infra.ledger import Ledger

_TO_FORMAT_5 = (
    "ALTER TABLE runs DROP COLUMN wake_at",
    "ALTER TABLE leases DROP COLUMN released_at",
    "UPDATE leases SET expires_at = '1970-01-01T00:00:00.000000+00:00' WHERE run_id != 'run-three'",
    "UPDATE alembic_version SET version_num = '0005'",
)


def test_a_released_lease_stays_released_and_a_run_that_slept_is_executed_once(desk: Desk) -> None:
    """Format 5 marked a released lease by an expiry in 1970, and a sleeping run by a time in its reason.

    Mutation tried: the revision marks the lease of every run as released; a run that was measured beside its open gate
    is then executed only when a person has decided.
    """
    for run_id in ("run-one", "run-two", "run-three"):
        run = desk.accept(run_id)
        lease = desk.ledger.leases.take(run_id, "a/1")
        desk.gate(run)
        measured = {"code": "measuring", "message": "", "until": desk.clock.now().isoformat()}
        desk.ledger.runs.set_status(run_id, "waiting", reason=measured if run_id == "run-two" else None)
        if run_id != "run-three":  # whose engine was killed
            desk.ledger.leases.release(lease)
    desk.ledger.close()
    database = create_engine(desk.url.replace("postgresql://", "postgresql+psycopg://"))
    with database.begin() as connection:
        for statement in _TO_FORMAT_5:
            connection.execute(text(statement))
    database.dispose()

    ledger = Ledger.open(desk.url, clock=desk.clock)
    try:
        assert [run.id for run in ledger.leases.runnable()] == ["run-two", "run-three"]
        for run_id in ("run-one", "run-two", "run-three"):
            ledger.audit(run_id)
        assert ledger.leases.take("run-two", "b/1").token == 2
        desk.clock.advance(timedelta(hours=1))
        assert ledger.leases.take("run-three", "b/1").token == 2
    finally:
        ledger.close()
