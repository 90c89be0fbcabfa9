"""P6 by the command line: a rollback is a flow of its own in Prefect, loud when stuck, and never left half done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.lifecycle.conftest import POLICY, Project, git, script
from tests.machine import Machine
from tests.quick_machine import quick_machine
from tests.support.prefect_api import ask_prefect

from phasegate.infra.crash_points import CRASH_AT
from phasegate.infra.settings import Settings

pytestmark = pytest.mark.timeout(900)

BRANCH = "refs/heads/phasegate/main"
APPROVED = ("--approve", "prd", "--approve", "change", "--approve", "release")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Machine]:
    """A machine whose engine may die."""
    with quick_machine(tmp_path / "home") as machine:
        yield machine
        machine.environment.clear()


def released(machine: Machine, project: Project) -> str:
    """A run that is done, and serves."""
    (project.top / "phasegate.toml").write_text(POLICY)
    rehearsal = project.script(script())
    done = machine.phasegate("run", project.ticket, "--repo", project.top, "--rehearse", rehearsal, "--json", *APPROVED)
    assert done.code == 0, done.err + done.out
    run: str = done.json["id"]
    return run


def prefect(machine: Machine, path: str, content: dict[str, Any]) -> Any:
    """Answer of Prefect's API."""
    return ask_prefect(Settings(home=machine.home), path, content).raise_for_status().json()


def shown_in_prefect(machine: Machine, run: str) -> list[tuple[str, list[str]]]:
    """The state of each rollback of a run as Prefect shows it, with the tries in it."""
    wanted = {"flow_runs": {"name": {"any_": [f"rollback {run}"]}}}
    found = prefect(machine, "/flow_runs/filter", wanted)
    tries = {
        one["id"]: prefect(machine, "/task_runs/filter", {"flow_runs": {"id": {"any_": [one["id"]]}}}) for one in found
    }
    return [(one["state"]["name"], sorted(task["name"] for task in tries[one["id"]])) for one in found]


def effects(machine: Machine, run: str) -> list[tuple[str, str]]:
    return [(effect["kind"], effect["status"]) for effect in machine.show(run)["effects"]]


UNDONE = [("merge", "undone"), ("candidate", "undone"), ("cut-over", "undone")]
TRIES = ["undo candidate #1", "undo cut-over #1", "undo merge #1"]


def test_a_run_that_is_done_is_rolled_back_in_a_flow_of_its_own(machine: Machine, project: Project) -> None:
    """P6. Mutations tried: see tests/integration/saga."""
    run = released(machine, project)
    assert "bring it over to main with `git merge phasegate/main`" in machine.phasegate("watch", run).out
    git(project.top, "merge", "-q", "phasegate/main")
    undone = machine.phasegate("rollback", run, "--wait")
    assert undone.code == 4, undone.err + undone.out
    assert "The merge is reverted on phasegate/main." in undone.out
    assert "main still has the change: bring the revert over with `git merge phasegate/main`." in undone.out
    assert effects(machine, run) == UNDONE
    assert shown_in_prefect(machine, run) == [("Completed", TRIES)]

    again = machine.phasegate("rollback", run)
    assert (again.code, "is rolled back already" in again.out) == (4, True)
    assert effects(machine, run) == UNDONE
    assert machine.phasegate("audit", run).code == 0


def test_a_run_that_waits_is_rolled_back(machine: Machine, project: Project) -> None:
    rehearsal = project.script(script())
    waits = machine.phasegate("run", project.ticket, "--repo", project.top, "--rehearse", rehearsal, *APPROVED[:4])
    assert waits.code == 3, waits.err
    run = machine.phasegate("runs", "--json").json[0]["id"]
    assert effects(machine, run) == [("merge", "done")]
    assert machine.phasegate("rollback", run, "--wait").code == 4
    assert effects(machine, run) == [("merge", "undone")]
    assert [gate["status"] for gate in machine.show(run)["gates"]] == ["approved", "approved", "void"]


def test_one_that_is_stuck_says_what_a_person_must_do_and_resume_goes_on_from_it(
    machine: Machine, project: Project
) -> None:
    """P6. Mutation tried: see tests/integration/saga."""
    run = released(machine, project)
    merged = git(project.top, "rev-parse", BRANCH).strip()
    git(project.top, "worktree", "add", "-q", "--detach", str(project.top.parent / "later"), merged)
    later = project.top.parent / "later"
    (later / "app.py").write_text("# written anew, by hand\n")
    git(later, "commit", "-q", "-am", "Later")
    git(project.top, "update-ref", BRANCH, git(later, "rev-parse", "HEAD").strip())

    stuck = machine.phasegate("rollback", run, "--wait")

    assert stuck.code == 5, stuck.err + stuck.out
    assert f"phasegate resume {run}" in stuck.out
    assert effects(machine, run) == [("merge", "stuck"), *UNDONE[1:]]
    assert [state for state, _ in shown_in_prefect(machine, run)] == ["Failed"]

    git(project.top, "update-ref", BRANCH, merged)
    assert machine.phasegate("resume", run, "--wait").code == 4
    assert effects(machine, run) == UNDONE
    assert sorted(state for state, _ in shown_in_prefect(machine, run)) == ["Completed", "Failed"]


def test_one_that_was_killed_half_way_goes_on_in_the_same_flow(own: Machine, project: Project) -> None:
    """P6. Mutation tried: see tests/crash."""
    run = released(own, project)
    assert own.phasegate("down").code == 0
    own.environment[CRASH_AT] = "after:undo:candidate"
    assert own.phasegate("up", "--detach").code == 0
    assert own.phasegate("rollback", run).code == 0
    own.until(run, lambda _: own.phasegate("status", "--json").json.get("engine") is None)
    assert effects(own, run) == [("merge", "done"), ("candidate", "done"), ("cut-over", "undone")]

    own.environment.clear()
    assert own.phasegate("up", "--detach").code == 0
    own.until(run, lambda shown: shown["status"] == "rolled-back")

    assert effects(own, run) == UNDONE
    assert [state for state, _ in shown_in_prefect(own, run)] == ["Completed"]
    assert own.phasegate("audit", run).code == 0
