"""Agents that need a person, as one sees it with only the command line: questions, budgets, permissions."""

from __future__ import annotations

from typing import Any

from tests.acceptance.lifecycle.conftest import NEW, OLD, PRD_TURNS, SIGNATURE, Project, edit
from tests.acceptance.people.conftest import amend, begin, kill_engine
from tests.machine import Machine

POLITE = edit("app.py", OLD, NEW)
FINISH = {"finish": {"summary": "polite"}}


def waits(machine: Machine, run: str) -> dict[str, Any]:
    """Wait until the run waits for a person."""
    return machine.until(run, lambda shown: shown["status"] == "waiting")


def open_gate(shown: dict[str, Any]) -> str:
    """The gate that is open, or an empty text."""
    return next((gate["gate"] for gate in shown["gates"] if gate["status"] == "open"), "")


def test_a_question_waits_for_its_answer_over_a_killed_engine(machine: Machine, project: Project) -> None:
    asks = {"tools": [{"name": "ask", "args": {"question": "Good day or good evening?"}}]}
    draft: Any = PRD_TURNS[1]
    told = {"expect": "Good day, always", "finish": draft["finish"]}
    run = begin(machine, project, prd=[asks, told])
    waits(machine, run)
    watched = machine.phasegate("watch", run)
    assert watched.code == 3
    for said in (watched.out, machine.phasegate("show", run).out):
        assert "Good day or good evening?" in said
        assert f"phasegate answer {run}" in said
    kill_engine(machine)
    assert machine.phasegate("up", "--detach").code == 0
    answered = machine.phasegate("answer", run, "Good day, always", "--wait")
    assert answered.code == 3, answered.out + answered.err
    shown = machine.show(run)
    assert open_gate(shown) == "change"
    assert [one["answer"] for one in shown["questions"]] == ["Good day, always"]
    again = machine.phasegate("answer", run, "Or this")
    assert (again.code, "waits for an answer" in again.err) == (2, True)
    assert machine.phasegate("audit", run).code == 0


def test_a_budget_is_raised_at_its_gate_or_ends_the_run(machine: Machine, project: Project) -> None:
    amend(project, "[budget.stages.implementation]\nturns = 2\n")
    run = begin(machine, project, implementation=[SIGNATURE, POLITE, FINISH])
    assert open_gate(waits(machine, run)) == "budget"
    page = machine.phasegate("show", run).out
    assert "an approval grants 2 more" in page
    assert f"phasegate approve {run} budget" in page
    assert machine.phasegate("revise", run, "--note", "cheaper").code == 2
    assert machine.phasegate("approve", run, "budget", "--wait").code == 3
    assert open_gate(machine.show(run)) == "change"
    other = begin(machine, project, implementation=[SIGNATURE, POLITE, FINISH])
    waits(machine, other)
    assert machine.phasegate("reject", other, "--note", "enough", "--wait").code == 1
    assert machine.show(other)["reason"]["note"] == "enough"


def test_a_command_is_permitted_once_for_the_stage_or_refused(machine: Machine, project: Project) -> None:
    amend(project, '[permissions.commands]\nask = ["touch"]\n')

    def touch(name: str, **more: Any) -> dict[str, Any]:
        return {"tools": [{"name": "run", "args": {"command": f"touch {name}"}}], **more}

    turns = [touch("a"), touch("a"), touch("a"), touch("b"), {**POLITE, "expect": "refused.*not that one"}]
    run = begin(machine, project, implementation=[SIGNATURE, *turns, FINISH])
    waits(machine, run)
    page = machine.phasegate("show", run).out
    assert "touch a" in page
    assert "--for-stage" in page
    assert machine.phasegate("approve", run, "permission", "--wait").code == 3
    assert open_gate(machine.show(run)) == "permission"
    assert machine.phasegate("approve", run, "permission", "--for-stage", "--wait").code == 3
    assert "touch b" in machine.phasegate("show", run).out
    assert machine.phasegate("reject", run, "--note", "not that one", "--wait").code == 3
    shown = machine.show(run)
    assert open_gate(shown) == "change"
    assert [gate["status"] for gate in shown["gates"] if gate["gate"] == "permission"] == [
        "approved",
        "approved",
        "rejected",
    ]
    assert machine.phasegate("audit", run).code == 0
