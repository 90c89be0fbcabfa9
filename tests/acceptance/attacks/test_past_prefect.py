"""P5: whatever Prefect is told of a run that waits, the run waits on, and what was tried is on record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.acceptance.attacks.conftest import POLICY, Attacker, at_prd_gate, commit, gates
from tests.acceptance.lifecycle.conftest import Machine, Project

pytestmark = pytest.mark.timeout(300)  # the engine's start is in the first of them

MAX_HOT = 1


@dataclass(frozen=True)
class Told:
    """What Prefect is told about the flow run of a run that waits.

    Attributes:
        path: Below the flow run's own.
        content: What is sent there.
        state: What the trail calls it.
    """

    path: str
    content: dict[str, Any]
    state: str


def set_to(kind: str, *, force: bool) -> Told:
    return Told("set_state", {"state": {"type": kind, "message": "approved"}, "force": force}, kind.capitalize())


TOLD = {
    "forced to be scheduled": set_to("SCHEDULED", force=True),
    "forced to run": set_to("RUNNING", force=True),
    "forced to be done": set_to("COMPLETED", force=True),
    "scheduled as by an automation": set_to("SCHEDULED", force=False),
    "resumed as by an automation": Told("resume", {}, "Resuming"),
}


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


@pytest.mark.parametrize("told", TOLD.values(), ids=TOLD)
def test_nothing_that_prefect_is_told_opens_a_gate(
    machine: Machine, attacker: Attacker, waiting: str, told: Told
) -> None:
    """P5. Prefect's word on a suspended run is put on record, and decides nothing.

    Mutation tried, with forced states: `_pass` takes a flow that goes on at a gate asked before for an approval.
    """
    attacker.prefect(f"/flow_runs/{machine.show(waiting)['flow_run_id']}/{told.path}", told.content)
    attacker.wake(waiting)
    shown = machine.until(waiting, lambda shown: shown["status"] == "waiting")
    assert (gates(shown), shown["decisions"]) == ([("prd", "open")], [])

    assert machine.phasegate("approve", waiting).code == 0
    shown = machine.until(waiting, lambda shown: gates(shown) == [("prd", "approved"), ("change", "open")])
    assert [stage["stage"] for stage in shown["stages"]].count("prd") == 1
    machine.until(waiting, attacker.is_refused(waiting, f"state.refused: {told.state}"), seconds=15)
    assert len([one for one in attacker.refusals(waiting) if told.state in one]) == 1
