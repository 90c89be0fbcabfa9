"""Tickets that change or remove behaviour, end to end: which tests went, and why, is for a person to decide."""

from __future__ import annotations

import getpass
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.lifecycle.conftest import POLICY, Project, edit, git, script
from tests.machine import Machine

ADMIN = f"""
[lifecycle]
stages = ["prd", "implementation", "testing"]
max_attempts = 1
[roles]
admin = ["{getpass.getuser()}"]
"""
OLD_TEST = "tests/test_app.py::test_greets_by_name"
OLD_ID = "tests.test_app::test_greets_by_name"
SEALED = "from app import greet\n\n\ndef test_greets_otherwise():\n    assert greet('Bo') == 'Good day, Bo'\n"
CHANGE = [
    edit("app.py", 'return f"Hello, {name}"', 'return f"Good day, {name}"'),
    {"finish": {"summary": "another greeting"}},
]


def authoring(*amends: dict[str, str]) -> list[dict[str, Any]]:
    files = [{"path": "tests/test_accept.py", "content": SEALED, "criteria": ["AC1"]}]
    return [{"finish": {"files": files, "amends": list(amends)}}]


def begin(machine: Machine, project: Project, testing: list[dict[str, Any]]) -> str:
    (project.top / "phasegate.toml").write_text(POLICY + ADMIN)
    git(project.top, "commit", "-qam", "Admins")
    played = project.script(script(implementation=CHANGE, testing=testing))
    result = machine.phasegate(
        *("run", project.ticket, "--repo", project.top, "--rehearse", played),
        *("--approve", "prd", "--approve", "change", "--detach", "--json"),
    )
    assert result.code == 0, result.err + result.out
    return str(result.json["id"])


def suite(project: Project, branch: str, folder: Path) -> subprocess.CompletedProcess[str]:
    git(project.top, "worktree", "add", "-q", "--detach", str(folder), branch)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_ticket_that_changes_behaviour_ships_once_a_person_has_seen_the_old_test(
    machine: Machine, project: Project, tmp_path: Path
) -> None:
    amended = {"test": OLD_TEST, "criterion": "AC1", "replacement": "tests/test_accept.py::test_greets_otherwise"}
    run = begin(machine, project, authoring(amended))
    shown = machine.stops(run)
    assert (shown["status"], shown["gates"][-1]["gate"]) == ("waiting", "change"), shown
    page = machine.phasegate("show", run).out
    assert "is obsolete" in page
    assert "Hello, Ana" in page
    assert "Good day, Bo" in page
    assert "+def test_greets_otherwise" in machine.phasegate("diff", run).out
    assert "test_greets" not in machine.phasegate("diff", run, "--as-made").out
    assert machine.phasegate("approve", run, "change").code == 0
    assert machine.stops(run)["status"] == "done"
    ran = suite(project, "phasegate/main", tmp_path / "released")
    assert ran.returncode == 0, ran.stdout
    assert "test_greets_by_name" not in git(project.top, "grep", "-h", "def test_", "phasegate/main", "--", "tests")
    assert machine.phasegate("audit", run).code == 0


def test_a_struck_amendment_counts_again_and_an_admin_may_accept_the_regression(
    machine: Machine, project: Project
) -> None:
    amended = {"test": OLD_TEST, "criterion": "AC1", "replacement": "tests/test_accept.py::test_greets_otherwise"}
    run = begin(machine, project, authoring(amended))
    machine.stops(run)
    assert machine.phasegate("approve", run, "change", "--strike", "tests/test_app.py::nothing").code == 2
    assert machine.phasegate("approve", run, "change", "--strike", OLD_TEST).code == 0
    shown = machine.until(run, lambda shown: len(shown["gates"]) == 3 and shown["status"] == "waiting")
    grades = [one["artifact"]["content"] for one in shown["stages"] if one["part"] == "grading"]
    assert [grade["verdict"] for grade in grades] == ["passed", "failed"]
    plain = machine.phasegate("approve", run, "change")
    assert (plain.code, OLD_ID in plain.err) == (2, True), plain.err
    assert machine.phasegate("approve", run, "change", "--accept", OLD_ID).code == 2
    assert machine.phasegate("approve", run, "change", "--accept", OLD_ID, "--note", "as the ticket asks").code == 0
    assert machine.stops(run)["status"] == "done"
    assert machine.phasegate("audit", run).code == 0


@pytest.mark.parametrize("option", ["--override", ""])
def test_regressions_alone_open_the_gate_as_failed(machine: Machine, project: Project, option: str) -> None:
    run = begin(machine, project, authoring())
    shown = machine.stops(run)
    assert (shown["status"], shown["gates"][-1]["gate"]) == ("waiting", "change"), shown
    page = machine.phasegate("show", run).out
    assert "Failed" in page
    assert "test_greets_by_name" in page
    refused = machine.phasegate("approve", run, "change", "--note", "let it pass", *([option] if option else []))
    assert refused.code == 2, refused.out
    assert machine.phasegate("reject", run, "change", "--note", "no").code == 0
    machine.until(run, lambda shown: shown["status"] == "rejected")
