"""Make the golden fixture of one version: a finished run, as that version stored it.

`python -m tests.golden.make 0.1` records it into `data/0.1/`; see the README beside this file for when. It consists of
the dumps of ledger and threads, a git bundle of the repository with all its refs, and the run's exported trail. What is
text is kept compressed: the same text gives the same bytes.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
import sys
from pathlib import Path

from tests.acceptance.lifecycle.conftest import APP, POLICY, TEST, TICKET, Project, git, script
from tests.acceptance.lifecycle.test_lifecycle import approve_until_it_ends, start
from tests.golden.restore import DATA, PLACE
from tests.machine import Machine
from tests.support.repositories import first_commit

LARGEST_BYTES = 80_000
AUTHOR = {
    f"GIT_{role}_{fact}": value
    for role in ("AUTHOR", "COMMITTER")
    for fact, value in (("NAME", "Ana Example"), ("EMAIL", "ana@example.org"))
}
"""Author of the commits: no user of this machine."""
ELSEWHERE = """
import pwd
import socket

found = pwd.getpwuid
pwd.getpwuid = lambda uid: pwd.struct_passwd(("ana", *found(uid)[1:]))
socket.gethostname = lambda: "golden"
"""
"""Code that every Python process of the recording runs first: the ledger remembers the user and the machine."""


def main(version: str) -> None:
    """Take one run to its end and write what is left of it under `data/`."""
    target = DATA / version
    for stale in (PLACE, target):
        shutil.rmtree(stale, ignore_errors=True)
    target.mkdir(parents=True)
    os.environ.update(AUTHOR)
    project = _project(PLACE / "greeter")
    machine = Machine(PLACE / "home", {"PYTHONPATH": f"{_elsewhere()}:{os.environ.get('PYTHONPATH', '')}"})
    try:
        run = _finished_run(machine, project)
        trail = PLACE / "run.bundle.json"
        exported = machine.phasegate("export", run, "-o", trail)
        if exported.code != 0:
            sys.exit(exported.err)
    finally:
        machine.phasegate("down", "--services")
    for name in ("ledger", "threads"):
        with sqlite3.connect(machine.home / f"{name}.db") as database:
            _keep(target / f"{name}.sql.gz", "\n".join(database.iterdump()).encode())
    _keep(target / f"{trail.name}.gz", trail.read_bytes())
    git(project.top, "bundle", "create", "-q", str(target / "greeter.bundle"), "--all")
    (target / "run").write_text(f"{run}\n")
    shutil.rmtree(PLACE)
    large = [path.name for path in target.iterdir() if path.stat().st_size > LARGEST_BYTES]
    if large:
        sys.exit(f"too large to keep: {', '.join(large)}")


def _keep(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content, mtime=0))


def _elsewhere() -> Path:
    folder = PLACE / "elsewhere"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(ELSEWHERE)
    return folder


def _finished_run(machine: Machine, project: Project) -> str:
    run = start(machine, project, script())
    ended = approve_until_it_ends(machine, run)
    if ended["status"] != "done":
        sys.exit(f"the run is {ended['status']}: {ended['reason']}")
    return run


def _project(top: Path) -> Project:
    (top / "tests").mkdir(parents=True)
    files = {"app.py": APP, "conftest.py": "", "tests/test_app.py": TEST, "phasegate.toml": POLICY}
    for name, content in files.items():
        (top / name).write_text(content)
    first_commit(top)
    ticket = top.parent / "ticket.md"
    ticket.write_text(TICKET)
    return Project(top, ticket)


if __name__ == "__main__":
    main(sys.argv[1])
