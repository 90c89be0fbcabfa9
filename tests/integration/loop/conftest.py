"""An attempt of an agent that has just begun."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from tests.support.agent_loop import AgentHarness, open_attempt


@pytest_asyncio.fixture
async def office(tmp_path: Path) -> AsyncIterator[AgentHarness]:
    """An attempt that has just begun."""
    async with open_attempt(tmp_path) as office:
        yield office
