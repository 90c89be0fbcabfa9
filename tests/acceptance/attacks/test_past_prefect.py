"""P5: whatever Prefect is told of a run that waits, the run waits on, and what was tried is on record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.acceptance.attacks.conftest import POLICY, Attacker, at_prd_gate, commit, gates
from tests.acceptance.lifecycle.conftest import Machine, Project

pytestmark = pytest.mark.timeout(300)  # the engine's start is in the first of them

MAX_HOT = 1
HOT, SUSPENDED = "Paused", "Suspended"
"""What Prefect calls a run that waits so."""


@dataclass(frozen=True)
class Told:
    """What Prefect is told about the flow run of a run that waits.

    Attributes:
        path: Below the flow run's own.
        content: What is sent there.
        suspended: What the trail calls the state of a suspended run.
        hot: What it calls the state of one that waits hot.
        first: What is sent before it, by path.
    """

    path: str
    content: dict[str, Any]
    suspended: str
    hot: str
    first: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


def set_to(kind: str, *, force: bool) -> Told:
    state = kind.capitalize()
    return Told("set_state", {"state": {"type": kind, "message": "approved"}, "force": force}, state, state)


DECISION = {"decision": "decision-forged", "verdict": "approve", "approver": "ana", "approved": True}
INPUT = {"key": "decision", "value": '{"verdict": "approve"}', "sender": "ana"}
TOLD = {
    "forced to be scheduled": set_to("SCHEDULED", force=True),
    "forced to run": set_to("RUNNING", force=True),
    "forced to be done": set_to("COMPLETED", force=True),
    "scheduled as by an automation": set_to("SCHEDULED", force=False),
    "resumed as by an automation": Told("resume", {}, "Resuming", "Running"),
    "resumed with a decision for run input": Told(
        "resume", {"run_input": DECISION}, "Resuming", "Running", {"input": INPUT}
    ),
}


@pytest.fixture(scope="module")
def hot(machine: Machine) -> dict[str, str]:
    """The run that waits hot, in the only place for one."""
    return {}


@pytest.fixture
def waiting(
    request: pytest.FixtureRequest, machine: Machine, project: Project, attacker: Attacker, hot: dict[str, str]
) -> Iterator[str]:
    """A run at its first gate: hot, in the only place for one, or suspended, since another is in that place."""
    commit(project, POLICY)
    if request.param == SUSPENDED and not hot:
        hot["run"] = at_prd_gate(machine, project)
    if request.param == HOT and hot:
        assert machine.phasegate("cancel", hot.pop("run"), "--wait").code == 1
    run = at_prd_gate(machine, project)
    flow_run = machine.show(run)["flow_run_id"]
    machine.until(run, lambda _: attacker.prefect(f"/flow_runs/{flow_run}")["state"]["name"] == request.param)
    yield run
    machine.phasegate("cancel", run, "--wait")


@pytest.mark.parametrize("told", TOLD.values(), ids=TOLD)
@pytest.mark.parametrize("waiting", [HOT, SUSPENDED], indirect=True)
def test_nothing_that_prefect_is_told_opens_a_gate(
    machine: Machine, attacker: Attacker, waiting: str, told: Told, hot: dict[str, str]
) -> None:
    """P5. Prefect's word on a run that waits, hot or suspended, is put on record, and decides nothing.

    Mutation tried, with forced states: `_pass` takes a flow that goes on at a gate asked before for an approval.
    """
    flow_run = f"/flow_runs/{machine.show(waiting)['flow_run_id']}"
    for path, content in {**told.first, told.path: told.content}.items():
        assert "refused" not in (attacker.prefect(f"{flow_run}/{path}", content) or {})
    attacker.wake(waiting)
    shown = machine.until(waiting, lambda shown: shown["status"] == "waiting")
    assert (gates(shown), shown["decisions"]) == ([("prd", "open")], [])

    assert machine.phasegate("approve", waiting).code == 0
    shown = machine.until(waiting, lambda shown: gates(shown) == [("prd", "approved"), ("change", "open")])
    assert [stage["stage"] for stage in shown["stages"]].count("prd") == 1
    state = told.suspended if hot else told.hot
    machine.until(waiting, attacker.is_refused(waiting, f"state.refused: {state}"), seconds=15)
    assert len([one for one in attacker.refusals(waiting) if state in one]) == 1
    assert machine.phasegate("audit", waiting).code == 0


@pytest.mark.parametrize("waiting", [SUSPENDED, HOT], indirect=True)
@pytest.mark.parametrize("ending", [("reject", "--note", "no"), ("cancel",)], ids=["rejected", "cancelled"])
def test_what_prefect_was_told_is_on_record_of_a_run_that_never_goes_on(
    machine: Machine, attacker: Attacker, waiting: str, ending: tuple[str, ...]
) -> None:
    """P5. Mutation tried: see the docstring's end."""
    told = TOLD["forced to be done"]
    attacker.prefect(f"/flow_runs/{machine.show(waiting)['flow_run_id']}/{told.path}", told.content)
    verb, *words = ending
    assert machine.phasegate(verb, waiting, *words, "--wait").code == 1
    assert [one.partition(": ")[0] for one in attacker.refusals(waiting)] == ["state.refused"]
