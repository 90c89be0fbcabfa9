"""P3, and the fence: two engines on one ledger, one of which stands still for longer than its lease."""

from __future__ import annotations

import signal
import time

import pytest
from tests.acceptance.lifecycle.conftest import Project, git
from tests.integration.recovery.conftest import Shared, send, small_script
from tests.machine import Machine

pytestmark = pytest.mark.proof


@pytest.mark.timeout(900)
def test_a_run_is_taken_over_from_a_stopped_engine_whose_late_writes_are_refused(
    shared: Shared, project: Project
) -> None:
    """Mutations of the fence are tried in tests/contracts/ledger/test_leases.py."""
    first, second = shared.machine("first"), shared.machine("second")
    run = _start(first, project)
    shared.until(lambda ledger: any(event.payload.get("turn") == 2 for event in ledger.events(run)[-3:]))
    send(first, signal.SIGSTOP)
    assert second.phasegate("up", "--detach").code == 0
    shared.until(lambda ledger: ledger.runs.get(run).status == "done")
    send(first, signal.SIGCONT)
    shared.until(lambda ledger: any(event.kind == "write.refused" for event in ledger.events(run)))
    time.sleep(1)  # the first engine does now whatever it might do late

    taken = shared.events(run, "run.taken")
    assert [event.payload["token"] for event in taken] == [1, 2]
    assert len({event.payload["holder"] for event in taken}) == 2
    assert {event.payload["late"] for event in shared.events(run, "write.refused")} == {taken[0].payload["holder"]}
    assert [event.payload["effect"] for event in shared.events(run, "effect.done")] == [f"{run}/merge"]
    assert len(shared.events(run, "attempt.finished")) == 2
    assert len(shared.events(run, "run.recovered")) == 1
    assert shared.events(run, "run.needs-operator") == shared.events(run, "run.failed") == []
    assert git(project.top, "log", "--format=%H", "main..phasegate/main", "--first-parent").count("\n") == 1
    assert second.phasegate("audit", run).code == 0


@pytest.mark.timeout(900)
def test_of_two_engines_that_run_one_carries_a_run_and_the_other_keeps_its_hands_off(
    shared: Shared, project: Project
) -> None:
    first, second = shared.machine("first"), shared.machine("second")
    assert second.phasegate("up", "--detach").code == 0
    run = _start(first, project)
    shared.until(lambda ledger: ledger.runs.get(run).status == "done")
    assert [event.payload["token"] for event in shared.events(run, "run.taken")] == [1]
    assert len(shared.events(run, "attempt.started")) == 2
    assert len(shared.events(run, "effect.done")) == 1
    assert shared.events(run, "run.recovered") == shared.events(run, "write.refused") == []


def _start(machine: Machine, project: Project) -> str:
    script = project.script(small_script("sleep 5; true"))
    words = ("--approve", "prd", "--approve", "change", "--detach", "--json")
    result = machine.phasegate("run", project.ticket, "--repo", project.top, "--rehearse", script, *words)
    assert result.code == 0, result.err
    run: str = result.json["id"]
    return run
