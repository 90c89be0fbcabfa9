"""The real lifecycle in this process, and a person who answers agents as a test says."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.crash.scenes import SCENES, CrashScenario, write_project
from tests.support.greeter import REQUESTER
from tests.support.lifecycle import LifecycleHarness, Waits

from phasegate.flows.engine.resources import open_resources
from phasegate.flows.engine.wakeups import Decided
from phasegate.infra.ledger import Gate, Ledger
from phasegate.infra.settings import Settings

Action = Callable[[Ledger, str], object]
"""A person's action on a run; takes the ledger and the run's id."""


@dataclass
class PeopleHarness(LifecycleHarness):
    """A machine whose person does one thing after the other at what is no gate of the pipeline; else they approve.

    Attributes:
        deeds: What they do, in order; when there is nothing left they stay away.
        waits: Where the run waited for them, in order: the keys' first words.
    """

    deeds: deque[Action] = field(default_factory=deque[Action])
    waits: list[str] = field(default_factory=list[str])

    async def wait_until(
        self, key: str, *, run_id: str, decided: Decided, settings: Settings, in_process: bool = False
    ) -> None:
        """Do the next thing."""
        word = key.split(":")[1] if key.startswith("gate:") else key
        if word in {"prd", "change", "release"}:
            await super().wait_until(key, run_id=run_id, decided=decided, settings=settings, in_process=in_process)
            return
        self.waits.append(word)
        if not self.deeds:
            raise Waits
        self.deeds.popleft()(self.ledger, run_id)
        assert decided(), f"{key} is not answered"

    def events(self, run_id: str, kind: str) -> list[Mapping[str, Any]]:
        """Payloads of a run's events of one kind."""
        return [event.payload for event in self.ledger.events(run_id) if event.kind == kind]


def decide(verdict: str, **more: Any) -> Action:
    """Decide on the gate that is open."""

    def deed(ledger: Ledger, run_id: str) -> Gate:
        (gate,) = ledger.gates.waiting(run_id)
        return ledger.gates.decide(gate.id, verdict, REQUESTER, **more)  # type: ignore[arg-type]  # the test's word

    return deed


def answer(text: str) -> Action:
    """Answer the question that is open."""
    return lambda ledger, run_id: ledger.questions.answer(run_id, text, person="ana")


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Any]:
    """Opens an office for a project with a policy and a script of the test's."""

    @asynccontextmanager
    async def open_office(stages: Mapping[str, Any], policy: str = "") -> AsyncGenerator[PeopleHarness]:
        ends = '[lifecycle]\nstages = ["prd", "implementation", "testing"]\n'
        base = SCENES["ships"]
        write_project(tmp_path, CrashScenario("people", "done", policy=f"{base.policy}{ends}{policy}", stages=stages))
        settings = Settings(home=tmp_path / "home")
        settings.create_folders()
        async with open_resources(settings) as shared:
            office = PeopleHarness(tmp_path, shared)
            shared.http.event_hooks["request"].append(office.count)
            yield office

    return open_office
