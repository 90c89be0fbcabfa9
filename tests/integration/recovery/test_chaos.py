"""Postgres goes away every few seconds under many runs: all of them end right."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.acceptance.lifecycle.conftest import Project, git
from tests.integration.recovery.conftest import Shared, small_script
from tests.postgres import PostgresServer

from phasegate.flows.runs.kickoff import KickoffRequest, kick_off
from phasegate.infra.identity import Person
from phasegate.infra.ledger import ENDED, STOPPED, Ledger
from phasegate.infra.settings import Settings

pytestmark = pytest.mark.proof

RUNS = int(os.environ.get("CHAOS_RUNS", "10"))
"""Number of runs; the name has no `PHASEGATE_` in front, which tests/conftest.py clears away."""
EVERY_SECONDS = 4.0
PATIENCE_SECONDS = 60.0 + 15.0 * RUNS


@pytest.mark.timeout(PATIENCE_SECONDS + 120)
def test_every_run_ends_right_while_postgres_is_restarted(tmp_path: Path, project: Project) -> None:
    server = PostgresServer()
    try:
        server.start()
        shared = Shared(server.new_database(), tmp_path)
        machine = shared.machine("machine")
        runs = _accepted(shared, machine.home, project)
        assert machine.phasegate("up", "--detach").code == 0
        try:
            with _restarting(server) as restarts:
                _until_all_stopped(shared, runs)
            assert restarts, "nothing was restarted: the test proves nothing"
            _all_ended_right(shared, runs, project)
        finally:
            machine.phasegate("down", "--services")
    finally:
        server.remove()


def _accepted(shared: Shared, home: Path, project: Project) -> list[str]:
    settings = Settings(home=home, database_url=shared.url)
    settings.create_folders()
    request = KickoffRequest(
        str(project.ticket),
        project.top,
        rehearsal=project.script(small_script("sleep 1")),
        approve=("prd", "change"),
    )
    ledger = Ledger.open(shared.url)
    accepted = [
        kick_off(
            request, ledger=ledger, settings=settings, person=Person("ana", "local"), environment={}, stdin=bytes
        ).id
        for _ in range(RUNS)
    ]
    ledger.close()
    return accepted


@contextmanager
def _restarting(server: PostgresServer) -> Generator[list[int]]:
    """Crash and restart Postgres every few seconds, from another thread."""
    done, restarts = threading.Event(), list[int]()

    def restart() -> None:
        while not done.wait(EVERY_SECONDS):
            server.stop()
            server.start()
            restarts.append(len(restarts))

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        yield restarts
    finally:
        done.set()
        thread.join()


def _until_all_stopped(shared: Shared, runs: list[str]) -> None:
    def stopped(ledger: Ledger) -> bool:
        return all(run.status in ENDED | STOPPED for run in ledger.runs.list() if run.id in runs)

    shared.until(stopped, seconds=PATIENCE_SECONDS)


def _all_ended_right(shared: Shared, runs: list[str], project: Project) -> None:
    ledger = Ledger.open(shared.url)
    ended = {run: ledger.runs.get(run) for run in runs}
    assert {run.status for run in ended.values()} == {"done"}, [run.reason for run in ended.values()]
    for run in runs:
        kinds = [event.kind for event in ledger.events(run)]
        assert kinds.count("attempt.finished") == 2
        assert kinds.count("effect.done") == kinds.count("effect.intended") == 1
        ledger.audit(run)
    ledger.close()
    merges = git(project.top, "log", "--format=%B", "main..phasegate/main", "--first-parent")
    assert [merges.count(run) > 0 for run in runs] == [True] * RUNS
