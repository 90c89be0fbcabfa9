"""A release in steps through the command line: seen live, killed in a pause, decided at a gate, rolled back."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from tests.acceptance.lifecycle.conftest import Project, script
from tests.acceptance.steps.conftest import measure, world
from tests.machine import Machine

from phasegate.flows.engine.info import EngineInfo
from phasegate.infra.settings import Settings

pytestmark = pytest.mark.timeout(900)

APPROVED = ("--approve", "prd", "--approve", "change", "--approve", "release")


def begin(machine: Machine, project: Project) -> str:
    """Start a run that is not asked before the steps."""
    monitoring = [{"finish": {"summary": "Too many errors", "suspected_hunk": "app.py:9"}}]
    order = ("run", project.ticket, "--repo", project.top, "--rehearse", project.script(script(monitoring=monitoring)))
    result = machine.phasegate(*order, "--detach", "--json", *APPROVED)
    assert result.code == 0, result.err
    run: str = result.json["id"]
    return run


def at_step(number: int) -> Any:
    """Predicate that is true while a run is at this step."""
    return lambda shown: (shown["progress"] or {}).get("step") == number


def test_steps_are_seen_live_outlive_the_engine_and_end_in_a_release(machine: Machine, project: Project) -> None:
    run = begin(machine, project)
    shown = machine.until(run, at_step(2))
    assert shown["progress"]["text"].startswith("step 2 of 5: 25 % of the traffic, pause until ")
    info = EngineInfo.read(Settings(home=machine.home))
    assert info is not None
    os.kill(info.process.pid, signal.SIGKILL)
    assert "step 2 of 5: 25 % of the traffic, pause until" in machine.phasegate("status").out
    assert machine.phasegate("up", "--detach").code == 0

    shown = machine.until(run, lambda shown: shown["status"] == "waiting")
    assert [gate["gate"] for gate in shown["gates"] if gate["status"] == "open"] == ["promotion"]
    page = machine.phasegate("show", run)
    assert "step 4 of 5: 25 % of the traffic, gate promotion" in page.out
    approved = machine.phasegate("approve", run, "promotion", "--wait")
    assert approved.code == 0, approved.out + approved.err
    shown = machine.show(run)
    assert (shown["status"], world(project)["current"], world(project)["candidates"]) == ("done", run, [])
    kinds = [effect["kind"] for effect in shown["effects"]]
    assert kinds == ["merge", "candidate", "weight", "weight", "cut-over"]
    lines = machine.phasegate("logs", run).out
    assert "analysis errors 3/3" in lines
    assert "baking until" in lines


def test_a_breach_at_a_gate_gives_the_traffic_back_and_exits_with_4(machine: Machine, project: Project) -> None:
    run = begin(machine, project)
    machine.until(run, lambda shown: shown["status"] == "waiting")

    measure(project, 0.2)

    shown = machine.until(run, lambda shown: shown["status"] == "rolled-back")
    assert machine.phasegate("watch", run).code == 4
    assert "at step 4 of 5, with 25 % of the traffic, measured in the background" in shown["reason"]["message"]
    assert [gate["status"] for gate in shown["gates"] if gate["gate"] == "promotion"] == ["outdated"]
    found = world(project)
    assert (found["current"], found["alive"], found["candidates"], found["weight"]) == ("by-hand", True, [], 0)
    assert shown["stages"][-1]["artifact"]["kind"] == "incident"
