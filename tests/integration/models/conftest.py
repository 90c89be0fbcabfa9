"""A machine whose models are stubs on loopback, behind the addresses of all three providers."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest_asyncio
from tests.support.greeter import QUICK_GRADES, REQUESTER, write_greeter
from tests.support.lifecycle import LifecycleHarness, open_lifecycle
from tests.support.model_answers import ModelStub, serving

from phasegate.flows.runs.kickoff import KickoffRequest, kick_off
from phasegate.infra.ledger import Run

KEYS = {"OPENAI_API_KEY": "sk-o", "ANTHROPIC_API_KEY": "sk-a"}


@dataclass
class Clinic:
    """A machine, its project, and the models.

    Attributes:
        folder: The folder of repository, ticket and state.
        stub: The models.
        environment: The environment of the person who starts runs.
    """

    folder: Path
    stub: ModelStub
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def write(self, agents: str, stages: str = '["prd"]', more: str = "") -> None:
        """Write the project; its policy names the models."""
        lifecycle = f"[lifecycle]\nstages = {stages}\n[agents]\n{agents}\n{more}"
        policy = (
            f"{QUICK_GRADES.replace('[project]', '[project]' + chr(10) + 'integrate = ' + chr(34) + 'none' + chr(34))}"
        )
        write_greeter(self.folder, policy=f"{policy}{lifecycle}")

    def kick_off(self, machine: LifecycleHarness, environment: Mapping[str, str] | None = None) -> Run:
        """Accept a run of the ticket."""
        return kick_off(
            KickoffRequest(str(self.folder / "ticket.md"), self.folder / "greeter"),
            ledger=machine.ledger,
            settings=machine.shared.settings,
            person=REQUESTER,
            environment=self.environment if environment is None else environment,
            stdin=bytes,
        )


@pytest_asyncio.fixture
async def clinic(tmp_path: Path) -> AsyncGenerator[Clinic]:
    """Stubs, and the environment that leads to them."""
    async with serving(ModelStub()) as stub:
        addresses = ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "PHASEGATE_COMPATIBLE_BASE_URL")
        environment = KEYS | dict.fromkeys(addresses, stub.url)
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        yield Clinic(tmp_path, stub, environment)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@pytest_asyncio.fixture
async def machine(clinic: Clinic) -> AsyncGenerator[LifecycleHarness]:
    """The machine; its engine has the keys."""
    async with open_lifecycle(clinic.folder) as machine:
        machine.shared.http.event_hooks["request"].clear()
        yield machine
