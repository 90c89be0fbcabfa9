"""The lifecycle's machine and project, released in steps by commands of the team's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.acceptance.lifecycle import conftest as lifecycle
from tests.acceptance.lifecycle.conftest import Project, git
from tests.support.command_target import OPS

whole = lifecycle.project

POLICY = """
[project]
test = "pytest -q --junitxml={junit}"
[grading]
base = "warn"
flaky_reruns = 0
plain_process = false
served = false
[deploy]
target = "command"
[deploy.commands]
@commands@
[[deploy.steps]]
set_weight = 25
[[deploy.steps]]
pause = "2s"
[[deploy.steps]]
analysis = ["errors"]
[[deploy.steps]]
gate = true
[[deploy.steps]]
set_weight = 50
[monitor]
background = ["errors"]
bake = "500ms"
[[monitor.metrics]]
name = "errors"
source = "command"
command = "cat @folder@/rate.json"
values = ["rate"]
interval = "100ms"
count = 3
failure_condition = "rate > 0.05"
"""


def measure(project: Project, rate: float) -> None:
    """Set the value that the metrics give from now on."""
    half = project.top.with_name("rate.half")
    half.write_text(json.dumps({"rate": rate}))
    half.replace(project.top.with_name("rate.json"))


def world(project: Project) -> dict[str, object]:
    """State of the machines, as the team's commands left it."""
    found: dict[str, object] = json.loads(project.top.with_name("world.json").read_text())
    return found


@pytest.fixture
def project(whole: Project, tmp_path: Path) -> Project:
    """A project with steps; a release made by hand is current."""
    (tmp_path / "world.json").write_text(json.dumps({"current": "by-hand", "alive": True, "candidates": []}))
    names = ("deploy", "weight", "promote", "rollback", "status", "stop")
    commands = "\n".join(f'{name} = "WORLD={tmp_path}/world.json {OPS}"' for name in names)
    policy = POLICY.replace("@commands@", commands).replace("@folder@", str(tmp_path))
    (whole.top / "phasegate.toml").write_text(policy)
    git(whole.top, "commit", "-qam", "Release in steps")
    measure(whole, 0)
    return whole
