"""A ledger of the test's own, once in a SQLite file and once in a Postgres database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.ledgers import accepted, policy_with
from tests.postgres import PostgresServer

from phasegate.infra.clock import FixedClock
from phasegate.infra.ledger import Gate, Ledger, Run


@dataclass
class Desk:
    """A ledger with its clock and its address."""

    ledger: Ledger
    clock: FixedClock
    url: str

    def accept(self, run_id: str = "run-one", *, requester: str = "ana", **rules: Any) -> Run:
        """Accept a run whose gates have such rules."""
        return accepted(self.ledger, run_id, requester=requester, policy=policy_with(**rules))

    def gate(self, run: Run, *, subject: Mapping[str, str] | None = None) -> Gate:
        """Open gate `prd` of a run."""
        return self.ledger.gates.open(run, "prd", 1, subject=subject or {"prd": "sha256:1"})


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
