"""A machine whose model provider counts and refuses, and a greeter whose changes are graded quickly."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.crash.scenes import SCENES, write_project
from tests.support.lifecycle import LifecycleHarness, open_lifecycle
from tests.support.repositories import first_commit

from phasegate.infra.deploy.process.services import services, stop_service
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.ledger import Run


@pytest.fixture
async def house(tmp_path: Path) -> AsyncGenerator[LifecycleHarness]:
    """A machine with a project, a ticket and a script; what it has released is stopped at the end."""
    write_project(tmp_path, SCENES["ships"])
    async with open_lifecycle(tmp_path) as house:
        yield house
        for state in services(house.shared.settings.home):
            await stop_service(house.shared.settings.home, state.service)


POLICY = """
[project]
test = "python3 -m pytest -q -p no:cacheprovider --junitxml={junit}"
integrate = "none"
[sandbox]
backend = "none"
[grading]
base = "warn"
flaky_reruns = 0
plain_process = false
served = false
ablation_time = "0s"
coverage = false
[lifecycle]
stages = ["prd", "implementation", "testing"]
max_attempts = 2
[gates.prd]
off = true
reason = "agreed before"
"""
"""Policy of a greeter whose changes are graded quickly."""


def greeter(folder: Path, files: Mapping[str, str]) -> Path:
    """A repository with a ticket beside it that asks for another greeting."""
    top = folder / "greeter"
    first_commit(top, files)
    (folder / "ticket.md").write_text("---\ntitle: Greet otherwise\n---\nSay Good day.\n")
    return top


def scripted(house: LifecycleHarness, stages: dict[str, list[dict[str, Any]]]) -> None:
    (house.folder / "script.yaml").write_text(yaml.safe_dump({"version": 1, "stages": stages}))


def grades(house: LifecycleHarness, run: Run) -> list[Evidence]:
    made = [attempt for attempt in house.ledger.attempts.list(run.id) if attempt.part == "grading"]
    return [house.ledger.artifacts.get(attempt.artifact or "", Evidence) for attempt in made]
