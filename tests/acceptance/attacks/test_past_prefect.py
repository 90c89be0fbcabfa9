"""P5: whatever state Prefect is given for a run that waits, the run keeps waiting, and the state is recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.acceptance.attacks.conftest import POLICY, Attacker, at_prd_gate, commit, gates
from tests.acceptance.lifecycle.conftest import Project
from tests.machine import Machine

pytestmark = pytest.mark.timeout(900)  # the engine's start is in the first of them

MAX_HOT = 1
HOT, SUSPENDED = "Paused", "Suspended"
"""Prefect's states of a run that waits so."""


@dataclass(frozen=True)
class Told:
    """A request to Prefect about the flow run of a run that waits.

    Attributes:
        path: The path below the flow run's own.
        content: The content that is sent there.
        suspended: The state's name in the trail of a suspended run.
        hot: The state's name in the trail of a run that waits hot.
        first: Requests that are sent before it, by path.
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
) -> str:
    """A run at its first gate: hot, in the only place for one, or suspended, since another is in that place."""
    commit(project, POLICY)
    if request.param == HOT and hot:
        assert machine.phasegate("cancel", hot.pop("run"), "--wait").code == 1
    if request.param == SUSPENDED and not hot:
        hot["run"] = at_prd_gate(machine, project)
    run = at_prd_gate(machine, project)
    if request.param == HOT:
        hot["run"] = run
    machine.until(run, lambda shown: state_of(attacker, shown) == request.param)
    return run


def state_of(attacker: Attacker, shown: dict[str, Any]) -> str:
    """The state of a run in Prefect."""
    name: str = attacker.prefect(f"/flow_runs/{shown['flow_run_id']}")["state"]["name"]
    return name


def tell(machine: Machine, attacker: Attacker, run: str, told: Told) -> None:
    """Tell Prefect something about a run, which Prefect accepts."""
    flow_run = f"/flow_runs/{machine.stops(run)['flow_run_id']}"
    for path, content in {**told.first, told.path: told.content}.items():
        answer = attacker.prefect(f"{flow_run}/{path}", content) or {}
        assert (answer.get("refused"), answer.get("status")) in {(None, None), (None, "ACCEPT")}, answer


@pytest.mark.parametrize(
    ("waiting", "told"),
    [
        pytest.param(state, told, id=f"{state}-{name}", marks=pytest.mark.proof if name in by_proof else ())
        for state, by_proof in ((HOT, ("forced to run", "scheduled as by an automation")), (SUSPENDED, ()))
        for name, told in TOLD.items()
    ],
    indirect=["waiting"],
)
def test_nothing_that_prefect_is_told_opens_a_gate(
    request: pytest.FixtureRequest, machine: Machine, attacker: Attacker, waiting: str, told: Told
) -> None:
    """P5. A state forced on a run that waits, hot or suspended, is recorded and decides nothing.

    Mutation tried, with forced states: `_await_decision` takes a flow that continues at a gate for an approval.
    """
    tell(machine, attacker, waiting, told)
    attacker.wake(waiting)
    shown = machine.until(waiting, lambda shown: shown["status"] == "waiting")
    assert (gates(shown), shown["decisions"]) == ([("prd", "open")], [])

    assert machine.phasegate("approve", waiting).code == 0
    shown = machine.until(waiting, lambda shown: gates(shown) == [("prd", "approved"), ("change", "open")])
    assert [stage["stage"] for stage in shown["stages"]].count("prd") == 1
    state = told.hot if request.node.callspec.params["waiting"] == HOT else told.suspended
    machine.until(waiting, attacker.is_refused(waiting, f"state.refused: {state}"), seconds=15)
    assert len([one for one in attacker.refusals(waiting) if state in one]) == 1


@pytest.mark.parametrize(
    ("waiting", "ending"),
    [(HOT, ("cancel",)), (SUSPENDED, ("cancel",)), (SUSPENDED, ("reject", "--note", "no"))],
    ids=["hot, cancelled", "suspended, cancelled", "suspended, rejected"],
    indirect=["waiting"],
)
def test_what_prefect_was_told_is_on_record_of_a_run_that_never_goes_on(
    machine: Machine, attacker: Attacker, waiting: str, ending: tuple[str, ...], hot: dict[str, str]
) -> None:
    """P5. Mutation tried: what a flow leaves unsaid when it ends is cancelled with it."""
    tell(machine, attacker, waiting, TOLD["forced to run"])
    verb, *words = ending
    assert machine.phasegate(verb, waiting, *words, "--wait").code == 1
    if hot.get("run") == waiting:
        del hot["run"]
    machine.until(waiting, attacker.is_refused(waiting, "state.refused: Running"))  # a moment after the run's end
    assert attacker.refusals(waiting) == ["state.refused: Running"]
    assert machine.phasegate("audit", waiting).code == 0
