"""P8, P13: runs that waited, were paused or had failed under an earlier version are continued by today's code.

The runs are of commit 80daaf9. Their ledger names the folder of their repository, so it has to lie there again.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.acceptance.lifecycle.conftest import git
from tests.acceptance.lifecycle.test_lifecycle import approve_until_it_ends
from tests.golden.restore import PLACE, UNFINISHED, restore
from tests.machine import Machine
from tests.quick_machine import QuickMachine

pytestmark = pytest.mark.timeout(1800)

RUNS: dict[str, str] = json.loads((UNFINISHED / "runs.json").read_text())


@dataclass
class Stored:
    """A machine with the ledger of then and the engine of today.

    Attributes:
        machine: The machine.
        repository: The repository of its runs.
    """

    machine: Machine
    repository: Path


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    """The stored runs, in the folder that their ledger names; other test runs on this machine wait for it."""
    machine = QuickMachine(tmp_path_factory.mktemp("unfinished") / "home")
    with PLACE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(PLACE, ignore_errors=True)
        repository = PLACE / "greeter"
        restore(UNFINISHED, machine.home, repository)
        try:
            yield Stored(machine, repository)
        finally:
            machine.phasegate("down", "--services")
            shutil.rmtree(PLACE)


@pytest.mark.parametrize("status", RUNS)
def test_it_is_shown_and_audited(stored: Stored, status: str) -> None:
    run = RUNS[status]
    audited = stored.machine.phasegate("audit", run, "--json")
    assert audited.code == 0, audited.out + audited.err
    assert audited.json["events"] > 0
    shown = stored.machine.phasegate("show", run)
    assert run in shown.out, shown.err
    assert shown.code in {0, 1, 3}
    assert stored.machine.phasegate("logs", run).code == 0


def test_one_that_waits_is_approved_to_its_end(stored: Stored) -> None:
    run = RUNS["waiting"]
    assert [gate["status"] for gate in stored.machine.show(run)["gates"]] == ["open"]
    ended = approve_until_it_ends(stored.machine, run)
    assert ended["status"] == "done", ended["reason"]
    assert "polite" in git(stored.repository, "show", "phasegate/main:app.py")
    assert stored.machine.phasegate("audit", run).code == 0


@pytest.mark.parametrize("status", ["paused", "failed"])
def test_one_that_stands_is_resumed_and_goes_to_its_end(stored: Stored, status: str) -> None:
    """The paused run had its first gate ahead; the failed one had passed it when its repository was away."""
    machine, run = stored.machine, RUNS[status]
    assert machine.show(run)["status"] == status
    resumed = machine.phasegate("resume", run)
    assert resumed.code == 0, resumed.out + resumed.err
    shown = machine.stops(run)
    assert shown["status"] == "waiting", shown["reason"]
    ended = approve_until_it_ends(machine, run)
    assert ended["status"] == "done", ended["reason"]
    assert machine.phasegate("audit", run).code == 0
