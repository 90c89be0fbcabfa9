"""A base commit whose tests tell nothing: said before any model call, or on the gate page, as policy has it."""

from __future__ import annotations

from tests.acceptance.lifecycle.conftest import NEW, OLD, POLICY, SIGNATURE, Project, edit, git, script
from tests.machine import Machine

BARE = [SIGNATURE, edit("app.py", OLD, NEW), {"finish": {"summary": "greet takes polite"}}]
REQUIRED = POLICY.replace('base = "warn"', 'base = "required"')


def test_it_ends_the_run_before_any_model_call(machine: Machine, project: Project) -> None:
    (project.top / "phasegate.toml").write_text(REQUIRED)
    (project.top / "conftest.py").write_text("raise RuntimeError('no database here')\n")
    git(project.top, "commit", "-qam", "A suite that needs a database")
    result = machine.phasegate(
        "run", project.ticket, "--repo", project.top, "--rehearse", project.script(script()), "--json"
    )
    assert result.code == 5, result.err + result.out
    shown = machine.show(result.json["id"])
    assert (shown["status"], shown["reason"]["code"]) == ("needs-operator", "base-tells-nothing")
    assert "no database here" in shown["reason"]["message"]
    assert '[grading] base = "warn"' in shown["reason"]["remedy"]
    assert (shown["stages"], shown["usage"]["turns"]) == ([], 0)


def test_a_warning_stands_on_the_gate_page(machine: Machine, project: Project) -> None:
    (project.top / "tests" / "test_app.py").unlink()
    git(project.top, "commit", "-qam", "No tests")
    order = ("run", project.ticket, "--repo", project.top, "--rehearse", project.script(script(implementation=BARE)))
    result = machine.phasegate(*order, "--approve", "prd", "--json")
    shown = machine.stops(result.json["id"])
    (grade,) = [attempt["artifact"]["content"] for attempt in shown["stages"] if attempt["part"] == "grading"]
    assert grade["base"]["reason"], grade
    assert grade["base"]["passed"] == 0
