"""A machine with an engine, people with SSH keys, and an attacker who wants a gate open without them."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.lifecycle import conftest as lifecycle
from tests.acceptance.lifecycle.conftest import NEW, OLD, SIGNATURE, Project, edit, git
from tests.machine import Machine
from tests.quick_machine import quick_machine
from tests.support.prefect_api import ask_prefect

from phasegate.flows.engine import control
from phasegate.infra.ledger import Event
from phasegate.infra.settings import Settings

project = lifecycle.project

POLICY = """
[project]
test = "pytest -q --junitxml={junit}"
[lifecycle]
stages = ["prd", "implementation"]
"""
SSH = """
[identity]
mode = "ssh"
"""


@dataclass
class Attacker:
    """Attacker who may do all but decide: the database's file, Prefect's API and the engine's socket are theirs."""

    machine: Machine
    folder: Path
    keys: dict[str, Path] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The machine's."""
        return Settings(home=self.machine.home)

    def prefect(self, path: str, content: dict[str, Any] | None = None, method: str = "") -> Any:
        """Ask Prefect's API, with the engine's own secret."""
        answer = ask_prefect(self.settings, path, content, method=method)
        if answer.is_error:
            return {"refused": answer.status_code}
        return answer.json() if answer.content else None

    def wake(self, run: str) -> None:
        """Wake the engine for a run."""
        control.wake(self.settings, run)

    def sql(self, command: str, *values: object) -> None:
        """Write into the ledger."""
        with sqlite3.connect(self.settings.ledger, timeout=30) as database:
            database.execute(command, values)
        database.close()

    def events(self, run: str) -> list[Event]:
        """A run's trail."""
        ledger = self.machine.ledger()
        try:
            return ledger.events(run)
        finally:
            ledger.close()

    def refusals(self, run: str) -> list[str]:
        """The kinds of the recorded refusals, each with the thing it names."""
        return [
            f"{event.kind}: {event.payload.get('state') or event.payload['why']}"
            for event in self.events(run)
            if event.kind.endswith(".refused")
        ]

    def is_refused(self, run: str, what: str) -> Callable[[dict[str, Any]], bool]:
        """Predicate for `Machine.until`: true once the refusal is recorded."""
        return lambda _: any(what in refusal for refusal in self.refusals(run))

    def key(self, name: str) -> Path:
        """A person's private key."""
        if name not in self.keys:
            self.keys[name] = self.folder / name
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.keys[name]], check=True
            )
        return self.keys[name]

    def line(self, name: str) -> str:
        """Their line in an allowed-signers file."""
        return f"{name} {self.key(name).with_name(f'{name}.pub').read_text()}"


@pytest.fixture(scope="module")
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine per module. `MAX_HOT` gates wait hot on it, and every other one is suspended."""
    home = tmp_path_factory.mktemp("user")
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id_ed25519").write_text("hunter2-the-private-key")
    max_hot: int = getattr(request.module, "MAX_HOT", 0)
    environment = {"PHASEGATE_MAX_HOT": str(max_hot), "HOME": str(home), "OPENAI_API_KEY": "hunter2-the-model-key"}
    with quick_machine(tmp_path_factory.mktemp("machine"), environment) as machine:
        assert machine.phasegate("up", "--detach", timeout=280).code == 0
        yield machine


@pytest.fixture(scope="module")
def attacker(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Attacker:
    """Against this machine."""
    return Attacker(machine, tmp_path_factory.mktemp("keys"))


def commit(project: Project, policy: str, *, signers: str = "") -> None:
    """Commit a policy, and its signers if there are any, as the base commit."""
    (project.top / "phasegate.toml").write_text(policy)
    if signers:
        (project.top / ".github").mkdir(exist_ok=True)
        (project.top / ".github" / "allowed_signers").write_text(signers)
    git(project.top, "add", "-A")
    git(project.top, "commit", "-q", "-m", "Policy")


def at_prd_gate(machine: Machine, project: Project, content: dict[str, Any] | None = None) -> str:
    """A run that waits at its first gate."""
    quick = [SIGNATURE, edit("app.py", OLD, NEW), {"finish": {"summary": "greet takes polite"}}]
    script = project.script(content or lifecycle.script(implementation=quick))
    result = machine.phasegate("run", project.ticket, "--repo", project.top, "--rehearse", script, "--json")
    assert result.code == 3, result.err + result.out
    run: str = result.json["id"]
    return run


def gates(shown: dict[str, Any]) -> list[tuple[str, str]]:
    """The gates of a run, as `show` has them."""
    return [(gate["gate"], gate["status"]) for gate in shown["gates"]]
