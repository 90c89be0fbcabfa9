"""A small project whose runs end with a merge, and machines that share a ledger on a real Postgres."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.acceptance.lifecycle.conftest import APP, NEW, OLD, PRD_TURNS, SIGNATURE, TICKET, Project, edit
from tests.machine import Machine
from tests.support.repositories import first_commit

from phasegate.infra.errors import LedgerUnavailable
from phasegate.infra.ledger import Event, Ledger

POLICY = '[project]\ntest = "pytest -q --junitxml={junit}"\n[lifecycle]\nstages = ["prd", "implementation"]\n'


def small_script(command: str = "true") -> dict[str, object]:
    """A rehearsal of a change with one command in the middle."""
    turns = [
        SIGNATURE,
        {"tools": [{"name": "run", "args": {"command": command}}]},
        edit("app.py", OLD, NEW),
        {"finish": {"summary": "greet takes polite"}},
    ]
    return {"version": 1, "stages": {"prd": PRD_TURNS, "implementation": turns}}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A committed repository, whose policy ends with the change."""
    top = tmp_path / "greeter"
    top.mkdir()
    (top / "app.py").write_text(APP)
    (top / "phasegate.toml").write_text(POLICY)
    first_commit(top)
    ticket = tmp_path / "ticket.md"
    ticket.write_text(TICKET)
    return Project(top, ticket)


@dataclass
class Shared:
    """A ledger that several machines use, and those machines."""

    url: str
    folder: Path

    def __post_init__(self) -> None:
        """No machine yet."""
        self.machines: list[Machine] = []

    def machine(self, name: str, **environment: str) -> Machine:
        """A machine with a state folder of its own."""
        settings = {"PHASEGATE_DATABASE_URL": self.url, "PHASEGATE_LEASE": "3s", **environment}
        made = Machine(self.folder / name, settings)
        self.machines.append(made)
        return made

    def until(self, ready: Callable[[Ledger], bool], *, seconds: float = 90) -> None:
        """Wait until the ledger is as wanted."""
        ledger = Ledger.open(self.url)
        try:
            deadline = time.monotonic() + seconds
            while not _is(ready, ledger):
                if time.monotonic() > deadline:
                    said = [
                        (event.kind, event.payload) for run in ledger.runs.list() for event in ledger.events(run.id)
                    ]
                    raise AssertionError("\n".join(map(str, said[-25:])))
                time.sleep(0.1)
        finally:
            ledger.close()

    def events(self, run: str, kind: str) -> list[Event]:
        """A run's events of one kind."""
        ledger = Ledger.open(self.url)
        found = [event for event in ledger.events(run) if event.kind == kind]
        ledger.close()
        return found


def _is(ready: Callable[[Ledger], bool], ledger: Ledger) -> bool:
    try:
        return ready(ledger)
    except LedgerUnavailable:  # it is taken down on purpose
        return False


@pytest.fixture
def shared(postgres_url: str, tmp_path: Path) -> Iterator[Shared]:
    """Machines on one ledger; all of them are taken down at the end."""
    made = Shared(postgres_url, tmp_path)
    yield made
    for machine in made.machines:
        send(machine, signal.SIGCONT)
        machine.phasegate("down", "--services")


def send(machine: Machine, number: signal.Signals) -> None:
    """Send a signal to a machine's engine, if it has one."""
    about = machine.home / "engine.json"
    if about.exists():
        os.kill(json.loads(about.read_text())["process"]["pid"], number)
