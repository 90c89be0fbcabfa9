"""A base branch that moves while a run is under way: what is merged is graded again before it is released (P14)."""

from __future__ import annotations

from typing import Any

from tests.acceptance.lifecycle.conftest import OLD, POLICY, Project, git, script
from tests.machine import Machine

UP_TO_TESTING = '[lifecycle]\nstages = ["prd", "implementation", "testing"]\n'
FAREWELL = "def farewell(name):\n    return f'Bye, {name}'\n"
FAREWELL_TEST = "from farewell import farewell\n\n\ndef test_farewell():\n    assert farewell('Bo') == 'Bye, Bo'\n"
ONE_PARAMETER = """import inspect
from app import greet


def test_greet_takes_a_name_alone():
    assert list(inspect.signature(greet).parameters) == ["name"]
"""
MOVES_WHILE_GRADED = """
tip=$(git -C {top} rev-parse main)
if git rev-list -n 2 HEAD | grep -q $tip && test -e {top}/../moving; then
  echo moved >> {top}/notes.txt
  git -C {top} add notes.txt
  git -C {top} -c user.name=dev -c user.email=dev@example.org commit -qm "Move on"
fi
"""
"""Run with the tests: moves the branch on as soon as what is graded lies on its head."""


def begin(machine: Machine, project: Project, policy: str = UP_TO_TESTING, *more: str) -> str:
    """A run that waits at gate `change`."""
    (project.top / "phasegate.toml").write_text(POLICY + policy)
    git(project.top, "commit", "-qam", "Policy")
    result = machine.phasegate(
        *("run", project.ticket, "--repo", project.top, "--rehearse", project.script(script())),
        *("--approve", "prd", "--detach", "--json", *more),
    )
    assert result.code == 0, result.err + result.out
    run = str(result.json["id"])
    shown = machine.stops(run)
    assert (shown["status"], gates(shown)[-1]["number"]) == ("waiting", 1), (shown["reason"], shown["status"])
    return run


def waits_at_change(machine: Machine, run: str, number: int) -> dict[str, Any]:
    shown = machine.until(run, lambda shown: shown["status"] != "running" and len(gates(shown)) >= number)
    assert (shown["status"], gates(shown)[-1]["number"]) == ("waiting", number), shown
    return shown


def gates(shown: dict[str, Any]) -> list[dict[str, Any]]:
    return [gate for gate in shown["gates"] if gate["gate"] == "change"]


def parts(shown: dict[str, Any], part: str) -> list[dict[str, Any]]:
    return [stage["artifact"]["content"] for stage in shown["stages"] if stage["part"] == part and stage["artifact"]]


def move(project: Project, **files: str) -> str:
    """The team commits to the branch meanwhile."""
    for name, content in files.items():
        path = project.top / name.replace("__", "/").replace("_py", ".py")
        path.write_text(content)
    git(project.top, "add", "-A")
    git(project.top, "commit", "-qm", "Meanwhile")
    return git(project.top, "rev-parse", "HEAD").strip()


def test_an_approval_carries_over_to_the_merged_tree(machine: Machine, project: Project) -> None:
    run = begin(machine, project)
    head = move(project, farewell_py=FAREWELL, tests__test_farewell_py=FAREWELL_TEST)
    assert machine.phasegate("approve", run, "change").code == 0
    shown = machine.stops(run)
    assert shown["status"] == "done", shown["reason"]
    (grade,) = parts(shown, "regrading")
    assert (grade["verdict"], grade["move"]["head"], grade["move"]["differences"]) == ("passed", head, [])
    assert grade["counts"]["project_passed_on_base"] == 2
    assert grade["base"]["passed"] == 2
    assert len(gates(shown)) == len([one for one in shown["stages"] if one["stage"] == "implementation"]) == 1
    merged = git(project.top, "rev-parse", "phasegate/main", "phasegate/main^{tree}", "phasegate/main^1").split()
    assert merged == [shown["effects"][0]["result"]["commit"], grade["tree"], head]
    assert "polite" in git(project.top, "show", "phasegate/main:app.py")
    assert git(project.top, "show", "phasegate/main:farewell.py") == FAREWELL
    log = machine.phasegate("logs", run).out
    assert "the approval carries over" in log
    assert "the merged tree is graded" in log
    assert machine.phasegate("audit", run).code == 0


def test_a_change_that_is_another_patch_on_the_branch_is_asked_about_anew(machine: Machine, project: Project) -> None:
    run = begin(machine, project)
    app = (project.top / "app.py").read_text()
    move(project, app_py=app.replace(f"{OLD}\n", f"{OLD}\n\n# Greetings end here.\n"))
    assert machine.phasegate("approve", run, "change").code == 0
    shown = waits_at_change(machine, run, 2)
    page = machine.phasegate("show", run).out
    assert "The branch has moved" in page
    assert "another patch" in page
    (grade,) = parts(shown, "regrading")
    assert machine.phasegate("approve", run, "change").code == 0
    assert machine.stops(run)["status"] == "done"
    assert git(project.top, "rev-parse", "phasegate/main^{tree}").strip() == grade["tree"]
    assert "Greetings end here" in git(project.top, "show", "phasegate/main:app.py")
    assert machine.phasegate("audit", run).code == 0


def test_a_conflict_is_told_to_a_person_and_goes_on_once_the_branch_is_another(
    machine: Machine, project: Project
) -> None:
    run = begin(machine, project)
    app = (project.top / "app.py").read_text()
    head = move(project, app_py=app.replace(OLD, '    return f"Hi, {name}"'))
    assert machine.phasegate("approve", run, "change").code == 0
    shown = machine.until(run, lambda shown: shown["status"] == "needs-operator")
    assert "app.py" in shown["reason"]["message"]
    assert "Meanwhile" in shown["reason"]["message"]
    assert not shown["effects"]
    assert git(project.top, "rev-parse", "main").strip() == head
    move(project, app_py=app)
    assert machine.phasegate("resume", run).code in {0, 3, 5}
    shown = machine.stops(run)
    assert shown["status"] == "done", shown["reason"]
    assert len([one for one in shown["stages"] if one["stage"] == "implementation"]) == 1


def test_a_change_that_breaks_what_the_branch_has_got_opens_the_gate_as_failed(
    machine: Machine, project: Project
) -> None:
    run = begin(machine, project, UP_TO_TESTING, "--approve", "change")
    assert machine.phasegate("reject", run, "change").code == 0


def test_after_three_moves_a_person_is_asked(machine: Machine, project: Project) -> None:
    mover = project.top.parent / "move.sh"
    mover.write_text(MOVES_WHILE_GRADED.format(top=project.top))
    test = f'test = "sh {mover}; pytest -q --junitxml={{junit}}"'
    policy = POLICY.replace('test = "pytest -q --junitxml={junit}"', test) + '[sandbox]\nbackend = "none"\n'
    run = begin(machine, project, policy.removeprefix(POLICY) + UP_TO_TESTING)
    assert run
