"""P5: whatever Prefect is told of a run that waits, the run waits on, and what was tried is on record."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.acceptance.attacks.conftest import POLICY, Attacker, at_prd_gate, commit, gates
from tests.acceptance.lifecycle.conftest import Machine, Project

pytestmark = pytest.mark.timeout(300)  # the engine's start is in the first of them

STATES = ("SCHEDULED", "RUNNING", "COMPLETED")


@pytest.fixture(scope="module")
def hot(machine: Machine) -> dict[str, str]:
    """The run that waits hot, in the only place for one."""
    return {}


@pytest.fixture
def waiting(machine: Machine, project: Project, attacker: Attacker, hot: dict[str, str]) -> Iterator[str]:
    """A run that is suspended at its first gate."""
    commit(project, POLICY)
    if not hot:
        hot["run"] = at_prd_gate(machine, project)
    run = at_prd_gate(machine, project)
    flow_run = machine.show(run)["flow_run_id"]
    machine.until(run, lambda _: "Suspended" in str(attacker.prefect(f"/flow_runs/{flow_run}")["state"]))
    yield run
    machine.phasegate("cancel", run, "--wait")


@pytest.mark.parametrize("state", STATES)
def test_a_forced_state_opens_no_gate(machine: Machine, attacker: Attacker, waiting: str, state: str) -> None:
    """P5. Prefect's word on a suspended run is put on record, and decides nothing.

    Mutation tried: `_pass` takes a flow that goes on at a gate asked before for an approval.
    """
    attacker.force(waiting, {"type": state, "message": "approved"})
    attacker.wake(waiting)
    shown = machine.until(waiting, lambda shown: shown["status"] == "waiting")
    assert gates(shown) == [("prd", "open")]

    assert machine.phasegate("approve", waiting).code == 0
    shown = machine.until(waiting, lambda shown: gates(shown) == [("prd", "approved"), ("change", "open")])
    assert [stage["stage"] for stage in shown["stages"]].count("prd") == 1
    machine.until(waiting, attacker.is_refused(waiting, f"state.refused: {state.capitalize()}"), seconds=15)
    assert len([one for one in attacker.refusals(waiting) if state.capitalize() in one]) == 1
