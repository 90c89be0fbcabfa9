"""A migration by the command line: judged at the gate, made, and then no way back (P6)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.acceptance.lifecycle.conftest import IMPLEMENTATION, POLICY, Project, git, script
from tests.machine import Machine

pytestmark = pytest.mark.timeout(900)

MIGRATIONS = """
[deploy.migrations]
migrate = "sh migrate.sh"
"""
MIGRATE = 'echo "$PHASEGATE_KEY" >> "$HOME/made"; echo "one row moved"\n'
FILE = {
    "tools": [{"name": "write_file", "args": {"path": "migrations/2.sql", "content": "UPDATE people SET x = 1;\n"}}]
}
PLAN = {
    "summary": "A new greeting.",
    "migrations": [{"name": "fill x", "class": "migrate", "files": ["migrations/2.sql"]}],
}


def test_a_release_with_a_migration_is_judged_made_and_not_taken_back(
    machine: Machine, project: Project, tmp_path: Path
) -> None:
    """Untried mutation: `phasegate rollback` without `require_reversible`: it says that the run is rolled back."""
    (project.top / "phasegate.toml").write_text(POLICY + MIGRATIONS)
    (project.top / "migrate.sh").write_text(MIGRATE.replace("$HOME", str(tmp_path)))
    git(project.top, "add", "-A")
    git(project.top, "commit", "-qm", "Migrate by a command")
    rehearsal = project.script(
        script(implementation=[FILE, *IMPLEMENTATION], deployment=[{"finish": {"summary": "?"}}, {"finish": PLAN}])
    )
    words = (
        "run",
        project.ticket,
        "--repo",
        project.top,
        "--rehearse",
        rehearsal,
        "--approve",
        "prd",
        "--approve",
        "change",
    )
    waits = machine.phasegate(*words, "--json")
    assert waits.code == 3, waits.err + waits.out
    run: str = waits.json["id"]
    page = " ".join(machine.phasegate("show", run).out.split())
    assert "Once migrate is made there is no way back" in page
    assert "no: from then on" in page

    assert machine.phasegate("approve", run, "release").code == 0
    done = machine.phasegate("watch", run)
    assert done.code == 0, done.err + done.out
    assert (tmp_path / "made").read_text().startswith(f"{run}/migrate-")

    for wish in ("rollback", "cancel"):
        refused = machine.phasegate(wish, run)
        assert refused.code == 2, wish
        said = " ".join(refused.err.split())
        assert f"there is no {wish} of run {run}: Migrate migration 'fill x' is made and cannot be undone." in said
        assert f"Release {run} serves on" in said
        assert "`phasegate run TICKET`" in said
    shown = machine.show(run)
    assert shown["status"] == "done"
    assert {effect["kind"]: effect["status"] for effect in shown["effects"]} == {
        "merge": "done",
        "candidate": "done",
        "migrate": "done",
        "cut-over": "done",
    }
