"""Modules that the everyday commands load: what a command does not need is not imported, so that it answers at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.acceptance.cli.conftest import CliHarness

LOOK = """
import json, sys
from phasegate.flows.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print(json.dumps({"code": code, "modules": sorted(sys.modules)}), file=sys.stderr)
"""
HEAVY = {
    "prefect": (),
    "langgraph": (),
    "langchain_core": (),
    "alembic": (),
    "uvicorn": (),
    "duckdb": (),
    "urllib3": (),
    "httpx": (),
    "yaml": (),
    "pygments": ("show",),
    "markdown_it": ("show",),
    "sqlalchemy": ("runs", "status", "show", "approve"),
    "sqlalchemy.dialects.postgresql": (),
    "rich": ("runs", "status", "show"),
    "psutil": ("status", "doctor"),
    "phasegate.infra.policy.model": ("doctor",),
    "phasegate.infra.deploy.kubernetes": (),
    "phasegate.infra.deploy.command": (),
    "phasegate.agents.loop": (),
    "phasegate.agents.tools.toolbox": (),
    "phasegate.infra.grading.runner": (),
    "phasegate.infra.sandbox": ("doctor",),
    "phasegate.flows.lifecycle": (),
}
"""Module to the commands that need it."""
AT_MOST = {"runs": 550, "status": 600, "show": 700, "doctor": 480, "approve": 550}
"""Modules that a command may load, those of Python itself included."""


@pytest.mark.parametrize("command", list(AT_MOST))
def test_a_command_loads_what_it_needs(scene: CliHarness, tmp_path: Path, command: str) -> None:
    """Mutation seen: `run_table` imported the page of a run, and so `runs` loaded rich.markdown, yaml and pygments."""
    run, gate = scene.at_prd_gate()
    words = {"show": [run.id], "approve": [run.id, "--note", "good"]}.get(command, [])
    if command == "approve":  # the wake-up of an engine is not measured here: the refusal comes just before it
        words += ["release"]
    done = subprocess.run(
        [sys.executable, "-c", LOOK, command, *words],
        env={**os.environ, "PHASEGATE_HOME": str(scene.home)},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    modules = set(json.loads(done.stderr.splitlines()[-1])["modules"])
    assert {name for name in HEAVY if name in modules} == {
        name for name, needing in HEAVY.items() if command in needing
    }
    assert len(modules) <= AT_MOST[command], len(modules)
    assert scene.ledger.gates.get(gate.id).status == "open"
