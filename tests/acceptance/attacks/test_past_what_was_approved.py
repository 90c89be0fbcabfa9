"""P4: an approval of a release does not outlive what it was to replace."""

from __future__ import annotations

import pytest
from tests.acceptance.attacks.conftest import Attacker, gates
from tests.acceptance.lifecycle.conftest import POLICY, Machine, Project, git, script

pytestmark = pytest.mark.timeout(300)

STAGES = ["prd", "implementation", "testing", "deployment"]


def at_release_gate(machine: Machine, project: Project) -> str:
    start = ("run", project.ticket, "--repo", project.top, "--rehearse", project.script(script()), "--json")
    waits = machine.phasegate(*start, "--approve", "prd", "--approve", "change")
    assert waits.code == 3, waits.err + waits.out
    run: str = waits.json["id"]
    return run


def test_a_plan_approved_before_another_run_released_is_asked_about_anew(
    machine: Machine, project: Project, attacker: Attacker
) -> None:
    """P4. Mutation tried: see tests/integration/gates/test_what_is_replaced.py."""
    (project.top / "phasegate.toml").write_text(f"{POLICY}\n[lifecycle]\nstages = {STAGES}\n")
    git(project.top, "commit", "-q", "-am", "End with the deployment")
    first, second = at_release_gate(machine, project), at_release_gate(machine, project)
    assert machine.phasegate("approve", first, "--wait").code == 0

    late = machine.phasegate("approve", second, "--wait")

    assert late.code == 3, late.err + late.out
    shown = machine.show(second)
    assert gates(shown)[2:] == [("release", "outdated"), ("release", "open")]
    assert [effect["kind"] for effect in shown["effects"]] == ["merge"]
    plans = [stage["artifact"]["content"]["replaces"] for stage in shown["stages"] if stage["part"] == "plan"]
    assert plans == ["", first]
    assert f"now it is {first}" in late.out
    assert [event.kind for event in attacker.events(second)].count("gate.outdated") == 1

    assert machine.phasegate("approve", second, "--wait").code == 0
    cut_over = machine.show(second)["effects"][-1]
    assert (cut_over["kind"], cut_over["intent"]["previous"]) == ("cut-over", first)
    assert machine.phasegate("audit", second).code == 0
