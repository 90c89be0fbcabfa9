"""Make the golden fixture of one released version: a finished run, as that version stored it.

`python -m tests.golden.make 0.1`, until that version is released; from then on its files are kept as they are.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

from tests.acceptance.lifecycle.conftest import APP, POLICY, TEST, TICKET, Machine, Project, git, script

PLACE = Path(tempfile.gettempdir()) / "phasegate-golden"
"""Where it is made: the same everywhere, for the ledger remembers it."""
LARGEST_BYTES = 200_000


def main(version: str) -> None:
    """Take one run to its end and write what is left of it beside this file."""
    target = Path(__file__).parent / version
    for stale in (PLACE, target):
        shutil.rmtree(stale, ignore_errors=True)
    project, machine = _project(PLACE / "greeter"), Machine(PLACE / "home")
    target.mkdir()
    try:
        run = _finished_run(machine, project)
    finally:
        machine.phasegate("down", "--services")
    for name in ("ledger", "threads"):
        with sqlite3.connect(machine.home / f"{name}.db") as database:
            dump = "\n".join(database.iterdump())
        (target / f"{name}.sql").write_text(f"{dump}\n")
    git(project.top, "bundle", "create", "-q", str(target / "greeter.bundle"), "--all")
    (target / "run").write_text(f"{run}\n")
    shutil.rmtree(PLACE)
    large = [path.name for path in target.iterdir() if path.stat().st_size > LARGEST_BYTES]
    if large:
        sys.exit(f"too large to keep: {', '.join(large)}")


def _finished_run(machine: Machine, project: Project) -> str:
    options = ["--approve", "prd", "--approve", "change", "--approve", "release"]
    arguments: list[str | Path] = [
        "run",
        project.ticket,
        "--repo",
        project.top,
        "--rehearse",
        project.script(script()),
        "--json",
    ]
    result = machine.phasegate(*arguments, *options, timeout=300)
    if result.code != 0:
        sys.exit(result.err + result.out)
    run: str = result.json["id"]
    return run


def _project(top: Path) -> Project:
    (top / "tests").mkdir(parents=True)
    files = {"app.py": APP, "conftest.py": "", "tests/test_app.py": TEST, "phasegate.toml": POLICY}
    for name, content in files.items():
        (top / name).write_text(content)
    git(top, "init", "-q", "-b", "main")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "A greeter")
    ticket = top.parent / "ticket.md"
    ticket.write_text(TICKET)
    return Project(top, ticket)


if __name__ == "__main__":
    main(sys.argv[1])
