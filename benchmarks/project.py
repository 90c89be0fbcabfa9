"""The repository, policy, ticket and rehearsal that phasegate is benchmarked with: as little as a run can have."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from benchmarks.contender import FIVE, GATED, STRUCK, WORKING, Setup

_FILES = {
    "app.txt": "greets\n",
    "tests/greets.sh": "grep -q greets app.txt\n",
    "run_tests.sh": """began=$(date +%s.%N)
{
  echo '<testsuite name="all">'
  for file in tests/*.sh; do
    echo "<testcase classname='tests' name='$file' file='$file'>"
    sh "$file" || echo "<failure message='no'/>"
    echo '</testcase>'
  done
  echo '</testsuite>'
} >"$1"
echo "$began $(date +%s.%N)" >>"$2"
""",
    "service.py": """import os
import socket
import sys
import time

door = socket.create_server(("127.0.0.1", int(sys.argv[1])))
with open("/proc/self/stat") as stat:
    ticks = int(stat.read().rpartition(")")[2].split()[19])
age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
with open(sys.argv[2], "a") as log:
    log.write(f"{time.time() - age} {time.time()}\\n")
while True:
    caller, _ = door.accept()
    with caller:
        if caller.recv(65536):
            caller.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
""",
}
_STAGES = ("prd", "implementation", "testing", "deployment", "monitoring")
_LENGTHS = {GATED: 2, STRUCK: 2, FIVE: 5, WORKING: 1}
_LOOK = {"tools": [{"name": "read_file", "args": {"path": "app.txt"}}]}
_PRD = {"finish": {"title": "Greet politely", "acceptance_criteria": [{"id": "AC1", "statement": "it is polite"}]}}
RUN = "NUMBER"
"""Stands in the script for the run's number: what a run adds, and its sealed test, have names of their own."""
_WRITE = {"tools": [{"name": "write_file", "args": {"path": f"polite-{RUN}.txt", "content": "polite\n"}}]}
_CHANGE = {"finish": {"summary": "polite"}}


@dataclass(frozen=True)
class Project:
    """Files that a run needs.

    Attributes:
        top: The repository.
        ticket: The ticket.
        script: The rehearsal.
        tests_log: Gets a line per run of the test command: when it began and ended, Unix time.
        service_log: Gets a line per start of the service: when its process began and when it listened, likewise.
        hold: The held step rests while this file is there.
    """

    top: Path
    ticket: Path
    script: Path
    tests_log: Path
    service_log: Path
    hold: Path


def make_project(setup: Setup) -> Project:
    """Write a repository whose runs have the wanted shape, where the setup says."""
    folder = setup.folder
    project = Project(
        top=folder / "repository",
        ticket=folder / "ticket.md",
        script=folder / "script.yaml",
        tests_log=folder / "tests.log",
        service_log=folder / "service.log",
        hold=folder / "hold",
    )
    stages = _STAGES[: _LENGTHS[setup.shape]]
    for name, content in {**_FILES, "phasegate.toml": _policy(stages, project, setup)}.items():
        path = project.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "A greeter"]):
        identity = ["-c", "user.name=Bench", "-c", "user.email=bench@example.org"]
        subprocess.run(["git", *identity, *command], cwd=project.top, check=True)
    project.ticket.write_text("---\ntitle: Greet politely\n---\nIt should be polite.\n")
    project.script.write_text(yaml.safe_dump(_script(stages, project, setup)))
    project.hold.touch()
    return project


def _policy(stages: tuple[str, ...], project: Project, setup: Setup) -> str:
    gate_off = '[gates.prd]\noff = true\nreason = "nothing waits in this measure"\n' if not setup.shape.after else ""
    return f"""
[project]
test = "sh run_tests.sh {{junit}} {project.tests_log}"
integrate = "merge"
[lifecycle]
stages = [{", ".join(f'"{stage}"' for stage in stages)}]
[sandbox]
backend = "none"
[deploy]
start = "python3 -S service.py {{port}} {project.service_log}"
health = "/"
[[monitor.metrics]]
name = "errors"
requests = 1
interval = "10ms"
count = 1
failure_condition = "error_rate > 0.5"
{gate_off}"""


def _script(stages: tuple[str, ...], project: Project, setup: Setup) -> dict[str, Any]:
    hold = f"while [ -e {project.hold} ]; do sleep 0.05; done"
    rest = [{"tools": [{"name": "run", "args": {"command": hold}}]}] if setup.shape == STRUCK else []
    sealed = {"path": f"tests/polite-{RUN}.sh", "content": f"test -e polite-{RUN}.txt\n", "criteria": ["AC1"]}
    turns: dict[str, list[dict[str, Any]]] = {
        "prd": [_LOOK, _LOOK, _PRD] if setup.shape == WORKING else [_PRD],
        "implementation": [_WRITE, *rest, _CHANGE],
        "testing": [{"finish": {"files": [sealed]}}],
        "deployment": [{"finish": {"summary": "Out it goes.", "steps": ["cut over"], "checks": ["GET /"]}}],
    }
    slow = [
        {"stage": "prd", "turn": turn, "kind": "slow", "seconds": setup.shape.seconds}
        for turn in range(1, 1 + len(turns["prd"]))
        if setup.shape.seconds
    ]
    chosen = {stage: turns[stage] for stage in stages if stage in turns}
    return {"version": 1, "stages": chosen, "faults": slow}
