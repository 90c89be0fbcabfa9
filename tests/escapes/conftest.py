"""The world that escapes are tried in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.escapes.world import World, built


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A machine for a module of escapes; the variables that it sets in the environment end with it."""
    root: Path = tmp_path_factory.mktemp("machine")
    with pytest.MonkeyPatch.context() as patch:
        (root / "home").mkdir()
        patch.setenv("HOME", str(root / "home"))
        patch.setenv("SSH_AUTH_SOCK", str(root / "home" / "agent.sock"))
        patch.setenv("OPENAI_API_KEY", "canary-4e1c9b0f77a2")
        yield from built(root)


@pytest.fixture
def world(machine: World) -> Iterator[World]:
    """The machine, with the workspace as it was at the base commit."""
    machine.tidy()
    machine.touched.clear()
    yield machine
    machine.tripwire.unlink(missing_ok=True)
