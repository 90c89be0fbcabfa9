"""A permission for the rest of a stage, signed with an SSH key, by the command line."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.lifecycle.conftest import NEW, OLD, SIGNATURE, Project, edit, git, script
from tests.acceptance.people.conftest import amend
from tests.machine import Machine

pytestmark = pytest.mark.timeout(900)

POLICY = '[identity]\nmode = "ssh"\n[permissions.commands]\nask = ["touch"]\n'


def touch(name: str) -> dict[str, Any]:
    return {"tools": [{"name": "run", "args": {"command": f"touch {name}"}}]}


def test_it_is_asked_once_and_the_trail_says_who_signed_for_how_long(
    machine: Machine, project: Project, tmp_path: Path
) -> None:
    key = tmp_path / "bo"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bo", "-f", key], check=True)
    (project.top / ".github").mkdir()
    (project.top / ".github" / "allowed_signers").write_text(f"bo {key.with_name('bo.pub').read_text()}")
    git(project.top, "add", "-A")
    amend(project, POLICY)
    turns = [SIGNATURE, touch("a"), {"expect": "exit code 0", **touch("a")}, edit("app.py", OLD, NEW)]
    content = script(implementation=[*turns, {"finish": {"summary": "polite"}}])
    start = ("run", project.ticket, "--repo", project.top, "--rehearse", project.script(content), "--json")
    run: str = machine.phasegate(*start).json["id"]
    approved = machine.phasegate("approve", run, "prd", "--key", key, "--wait")
    assert approved.code == 3, approved.err
    unsigned = machine.phasegate("approve", run, "permission", "--for-stage")
    assert unsigned.code == 2, unsigned.out
    signed = machine.phasegate("approve", run, "permission", "--for-stage", "--key", key, "--wait")
    assert signed.code == 3, signed.err
    shown = machine.show(run)
    assert [gate["gate"] for gate in shown["gates"] if gate["status"] == "open"] == ["change"]
    (permitted,) = [one for one in shown["decisions"] if one["for_stage"]]
    assert (permitted["approver"], permitted["identity"]) == ("bo", "ssh")
    assert "for the rest of the stage" in machine.phasegate("logs", run).out
    assert machine.phasegate("audit", run).code == 0
