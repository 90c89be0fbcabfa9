"""A ledger of the test's own, once in a SQLite file and once in a Postgres database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.ledgers import accepted
from tests.postgres import PostgresServer

from phasegate.infra.clock import FixedClock
from phasegate.infra.ledger import Gate, Ledger, Run


@dataclass
class Desk:
    """A ledger with its clock and its address."""

    ledger: Ledger
    clock: FixedClock
    url: str

    def accept(self, run_id: str = "run-one", *, requester: str = "ana") -> Run:
        """Accept a run."""
        return accepted(self.ledger, run_id, requester=requester)

    def gate(self, run: Run, **changes: object) -> Gate:
        """Open gate `prd` of a run."""
        asked: dict[str, object] = {
            "subject": {"prd": "sha256:1"},
            "roles": [],
            "quorum": 1,
            "exclude_requester": False,
            "expires": timedelta(days=1),
            **changes,
        }
        return self.ledger.gates.open(run, "prd", 1, **asked)  # type: ignore[arg-type]  # the defaults above fit


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database: every test runs on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    """A fresh ledger whose clock stands still."""
    clock = FixedClock(datetime(2026, 11, 22, 12, tzinfo=UTC))
    ledger = Ledger.open(database_url, clock=clock)
    yield Desk(ledger, clock, database_url)
    ledger.close()
