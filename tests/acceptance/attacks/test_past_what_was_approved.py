"""P4: an approval of a release does not outlive what it was to replace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.acceptance.attacks.conftest import Attacker, gates
from tests.crash.scenes import SCENES, write_project
from tests.machine import Machine
from tests.support.greeter import NO_ERRORS

pytestmark = pytest.mark.timeout(900)

POLICY = f'{NO_ERRORS}[lifecycle]\nstages = ["prd", "implementation", "testing", "deployment"]\n'


@pytest.fixture
def order(tmp_path: Path) -> tuple[str | Path, ...]:
    """The command for a run whose tests take no time, and that ends with its deployment."""
    write_project(tmp_path, replace(SCENES["ships"], policy=POLICY))
    return ("run", tmp_path / "ticket.md", "--repo", tmp_path / "greeter", "--rehearse", tmp_path / "script.yaml")


def at_release_gate(machine: Machine, order: tuple[str | Path, ...]) -> str:
    waits = machine.phasegate(*order, "--approve", "prd", "--json")
    assert waits.code == 3, waits.err + waits.out
    run: str = waits.json["id"]
    # its tests prove nothing, so a person decides about the change, whatever was approved in advance
    assert machine.phasegate("approve", run, "change", "--wait").code == 3
    script = Path(order[-1])  # its sealed tests are merged: the next run's need another name
    script.write_text(script.read_text().replace("tests/polite", "tests/again_polite"))
    return run


def test_a_plan_approved_before_another_run_released_is_asked_about_anew(
    machine: Machine, order: tuple[str | Path, ...], attacker: Attacker
) -> None:
    """P4. Mutation tried: see tests/integration/gates/test_what_is_replaced.py."""
    first, second = at_release_gate(machine, order), at_release_gate(machine, order)
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
