"""P5: a change of who decides comes first on the gate's page, and asks an admin, whatever else policy says."""

from __future__ import annotations

import getpass
from typing import Any

import pytest
from tests.acceptance.attacks.conftest import Attacker, at_prd_gate, commit, gates
from tests.acceptance.lifecycle.conftest import Project, script
from tests.machine import Machine

pytestmark = pytest.mark.timeout(900)  # the engine's start is in the first of them

POLICY = """
[project]
test = "pytest -q --junitxml={junit}"
[lifecycle]
stages = ["prd", "implementation"]
[protect]
paths = []
[identity]
allowed_signers = "keys/signers"
[gates.change]
off = true
reason = "quick"
[roles]
admin = ["%s"]
"""
TAKES_OVER: list[dict[str, Any]] = [
    {"tools": [{"name": "write_file", "args": {"path": "phasegate.toml", "content": "[gates.prd]\noff = true\n"}}]},
    {"tools": [{"name": "write_file", "args": {"path": "keys/signers", "content": "eve ssh-ed25519 AAAA\n"}}]},
    {"tools": [{"name": "write_file", "args": {"path": "app.py", "content": "def greet(name):\n    return name\n"}}]},
    {"finish": {"summary": "greets"}},
]


def test_a_change_of_who_decides_is_first_on_the_page_and_takes_an_admin(
    machine: Machine, project: Project, attacker: Attacker
) -> None:
    """W8. Mutation tried: `ChangeSet.needs_person` false; the gate is then off, as policy says."""
    commit(project, POLICY % "somebody-else")
    run = at_prd_gate(machine, project, script(implementation=TAKES_OVER))
    waits = machine.phasegate("approve", run, "--wait")
    assert waits.code == 3, waits.out + waits.err
    page = machine.phasegate("show", run).out.split("gate change", 1)[1]
    first = next(line for line in page.splitlines()[1:] if line.strip())
    assert first.startswith("! This change decides who decides: keys/signers, phasegate.toml")
    refused = machine.phasegate("approve", run)
    assert (refused.code, "the change decides who decides" in refused.err) == (2, True)
    assert gates(machine.show(run)) == [("prd", "approved"), ("change", "open")]


def test_an_admin_approves_a_change_of_who_decides(machine: Machine, project: Project) -> None:
    commit(project, POLICY % getpass.getuser())
    run = at_prd_gate(machine, project, script(implementation=TAKES_OVER))
    assert machine.phasegate("approve", run, "--wait").code == 3
    assert machine.phasegate("approve", run, "--wait").code in {0, 1}
    machine.until(run, lambda shown: gates(shown) == [("prd", "approved"), ("change", "approved")])
    assert machine.phasegate("audit", run).code == 0
