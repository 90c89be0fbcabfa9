"""The lifecycle's machine and project, with a policy whose runs end with the change."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from tests.acceptance.lifecycle import conftest as lifecycle
from tests.acceptance.lifecycle.conftest import Project, git, script
from tests.machine import Machine

from phasegate.flows.engine.info import EngineInfo
from phasegate.infra.settings import Settings

whole = lifecycle.project


@pytest.fixture
def project(whole: Project) -> Project:
    """A project without a deployment."""
    amend(whole, '[lifecycle]\nstages = ["prd", "implementation", "testing"]\n')
    return whole


def amend(project: Project, policy: str) -> None:
    """Add to a project's policy."""
    path = project.top / "phasegate.toml"
    path.write_text(path.read_text() + policy)
    git(project.top, "commit", "-qam", "Amend the policy")


def begin(machine: Machine, project: Project, *more: str, faults: Any = (), **stages: Any) -> str:
    """Start a run whose gate `prd` is approved in advance, and do not follow it."""
    content = {**script(**stages), "faults": list(faults)}
    order = ("run", project.ticket, "--repo", project.top, "--rehearse", project.script(content), "--detach", "--json")
    result = machine.phasegate(*order, "--approve", "prd", *more)
    assert result.code == 0, result.err
    run: str = result.json["id"]
    return run


def kill_engine(machine: Machine) -> None:
    """kill -9."""
    info = EngineInfo.read(Settings(home=machine.home))
    assert info is not None
    os.kill(info.process.pid, signal.SIGKILL)
