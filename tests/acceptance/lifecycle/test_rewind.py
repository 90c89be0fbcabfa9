"""`checkpoints` and `rewind`, as a person uses them: with nothing but the command line and git."""

from __future__ import annotations

from typing import Any

import pytest
from tests.acceptance.lifecycle.conftest import NEW, OLD, SIGNATURE, Project, edit, git, script
from tests.machine import Machine

pytestmark = pytest.mark.timeout(900)  # the engine's start is in it

STAGES = '[lifecycle]\nstages = ["prd", "implementation"]\n'


def write(content: str) -> dict[str, Any]:
    """A scripted turn that writes a file git does not know."""
    return {"tools": [{"name": "write_file", "args": {"path": "notes.md", "content": content}}]}


def finish(summary: str) -> dict[str, Any]:
    return {"finish": {"summary": summary}}


def test_a_run_that_is_done_goes_back_to_a_turn_with_files_conversation_gates_and_effects(
    machine: Machine, project: Project
) -> None:
    """P9. The merge is undone, the gate is asked again, and the discarded commits stay reachable.

    Mutation tried: `put_back_if_asked` without `roll_back`; the merge then stays, and the run does not end.
    Without restoring the folder it passes: the next attempt restores it as well.
    """
    (project.top / "phasegate.toml").write_text('[project]\ntest = "pytest -q --junitxml={junit}"\n' + STAGES)
    git(project.top, "commit", "-qam", "End with the change")
    polite = [SIGNATURE, edit("app.py", OLD, NEW)]
    first = [write("as of turn one"), write("spoilt"), *polite, finish("with spoilt notes")]
    content = script(implementation=first, implementation_2=[write("as of turn one"), *polite, finish("with notes")])
    order = ("run", project.ticket, "--repo", project.top, "--rehearse", project.script(content), "--json")
    done = machine.phasegate(*order, "--approve", "prd", "--approve", "change")
    assert done.code == 0, done.err + done.out
    run, before = done.json["id"], project.state()
    merged = git(project.top, "rev-parse", "phasegate/main").strip()
    assert git(project.top, "show", f"{merged}:notes.md") == "spoilt"

    listed = machine.phasegate("checkpoints", run, "--json").json
    turns = {one["turn"]: one for one in listed if one["kind"] == "turn"}
    assert git(project.top, "show", f"{turns[1]['ref']}:notes.md") == "as of turn one"
    assert machine.phasegate("rewind", run, "4711").code == 2
    back = machine.phasegate("rewind", run, str(turns[1]["id"]), "--wait")

    assert back.code == 0, back.err + back.out
    assert "newest first:\n  merge: revert" in back.out + back.err
    shown = machine.show(run)
    assert [(gate["gate"], gate["status"]) for gate in shown["gates"]] == [
        ("prd", "approved"),
        ("change", "void"),
        ("change", "approved"),
    ]
    assert [(one["kind"], one["status"]) for one in shown["effects"]] == [("merge", "undone"), ("merge", "done")]
    assert git(project.top, "show", "phasegate/main:notes.md") == "as of turn one"
    assert git(project.top, "show", f"refs/phasegate/{run}/rewound/1/branch:notes.md") == "spoilt"
    assert git(project.top, "merge-base", "--is-ancestor", merged, "phasegate/main") == ""
    thrown_away = [one for one in machine.phasegate("checkpoints", run, "--json").json if one["discarded"]]
    assert {one["turn"] for one in thrown_away if one["kind"] == "turn"} == {2, 3, 4, 5}
    late = machine.phasegate("rewind", run, str(turns[2]["id"]))
    assert (late.code, f"refs/phasegate/{run}/rewound/1/" in late.err) == (2, True)
    _conversation_goes_on(machine, run)
    assert project.state() == before
    assert machine.phasegate("audit", run).code == 0


def _conversation_goes_on(machine: Machine, run: str) -> None:
    """The new attempt's first request holds the turn it went back to, and nothing that came after it."""
    ledger = machine.ledger()
    asked = [one for one in ledger.exchanges.list(run) if one.attempt_id == f"{run}/implementation/2"]
    assert [one.turn for one in asked] == [2, 3, 4]
    request = ledger.exchanges.request(f"{run}/implementation/2", 2) or ""
    assert ("as of turn one" in request, "spoilt" in request) == (True, False)
    ledger.close()
