"""The office's attempt in a process that may be killed: `python -m tests.integration.loop.killed FOLDER URL`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx
from tests.support.agent_loop import AgentHarness
from typing_extensions import override

from phasegate.agents.loop import open_threads
from phasegate.agents.rehearsal.script import Script
from phasegate.agents.rehearsal.server import RehearsalServer
from phasegate.infra.ledger import Ledger
from phasegate.infra.workspace import Repository, Workspace


class _Elsewhere(RehearsalServer):
    """The other process's rehearsal server."""

    def __init__(self, url: str) -> None:
        super().__init__(lambda _run: Script.model_validate({"version": 1, "stages": {}}))
        self._url = url

    @override
    def base_url(self, run: str, stage: str, attempt: int) -> str:
        return self._url


async def main(folder: Path, url: str) -> None:
    """Work until the end, which a crash point brings."""
    ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}")
    (attempt,) = ledger.attempts.list("run-one")
    run = ledger.runs.get("run-one")
    workspace = Workspace.create(Repository.open(Path(run.repository)), run.id, run.base_commit, folder / "work")
    async with open_threads(folder / "threads.db") as threads, httpx.AsyncClient() as http:
        await AgentHarness(ledger, threads, attempt, workspace, _Elsewhere(url), http, [], folder / "state", []).work()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
