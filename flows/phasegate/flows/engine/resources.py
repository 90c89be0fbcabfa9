"""Resources that one engine process shares among its runs: opened once, found by every flow.

A Prefect flow is called with JSON alone, so it finds its connections here. The engine's service enters
`open_resources`, the lifecycle calls `resources()`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property

import httpx

from phasegate.agents.loop import Threads, open_threads
from phasegate.agents.models.client import ModelClient, Redact, open_client
from phasegate.agents.models.keys import credentials
from phasegate.agents.models.names import ModelName
from phasegate.agents.rehearsal.recorded import RecordedReplies
from phasegate.agents.rehearsal.script import SCRIPTED_PARTS, Script
from phasegate.agents.rehearsal.server import RehearsalServer
from phasegate.flows.runs.inputs import StoredScript
from phasegate.infra.artifacts import sha256
from phasegate.infra.ledger import Attempt, Ledger, Run, new_id
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.secrets import Secrets
from phasegate.infra.settings import Settings


@dataclass
class ActiveRuns:
    """Runs that this engine owns.

    Attributes:
        running: Ids of runs that a flow executes now, at a hot gate included.
        scheduled: Ids of runs that no flow has taken up yet.
    """

    running: set[str] = field(default_factory=set[str])
    scheduled: set[str] = field(default_factory=set[str])


@dataclass(frozen=True)
class Resources:
    """Open connections of one engine.

    Attributes:
        settings: The machine's settings.
        ledger: The ledger.
        threads: The agents' conversations.
        rehearsal: Answers for runs that have a script.
        http: Carries model calls.
        environment: The environment with the providers' keys.
        holder: Names this engine in leases: `machine/engine`, where a machine is a host and its state folder.
        active_runs: Runs that this engine owns.
    """

    settings: Settings
    ledger: Ledger
    threads: Threads
    rehearsal: RehearsalServer
    http: httpx.AsyncClient
    environment: Mapping[str, str]
    holder: str
    active_runs: ActiveRuns = field(default_factory=ActiveRuns)

    @cached_property
    def secrets(self) -> Secrets:
        """Secrets of the engine's own environment, which must not pass to a model, the ledger or an artifact."""
        return Secrets.of(self.environment)

    def client_for(self, run: Run, attempt: Attempt, redact: Redact) -> ModelClient:
        """The model that works on an attempt: the real one, or the rehearsal's answers over the same protocol.

        Args:
            run: The run.
            attempt: The attempt.
            redact: Takes secrets out of answers.

        Raises:
            ModelKeyMissing: The engine's environment holds no key for the provider.
        """
        name, thread = ModelName.parse(attempt.model), AttemptId.parse(attempt.id).thread
        if run.rehearsed_run:
            base_url = self.rehearsal.base_url(run.id, thread, attempt.number)
            return open_client(name, base_url=base_url, key="rehearsal", http=self.http, redact=redact)
        if run.options.rehearsal:
            scripted = thread if thread in SCRIPTED_PARTS else attempt.stage
            base_url = self.rehearsal.base_url(run.id, scripted, attempt.number)
            return open_client(name, base_url=base_url, key="rehearsal", http=self.http, redact=redact)
        access = credentials(name, self.environment)
        return open_client(name, base_url=access.base_url, key=access.key, http=self.http, redact=redact)


class _Shared:
    """The resources of this process, as soon as there are any."""

    def __init__(self) -> None:
        self.opened: Resources | None = None
        self.waiting: list[asyncio.Event] = []

    def provide(self, opened: Resources | None) -> None:
        self.opened = opened
        for event in self.waiting:
            event.set()
        self.waiting.clear()


_shared = _Shared()


async def resources() -> Resources:
    """The resources of this engine; waits for them while the engine starts."""
    while _shared.opened is None:
        event = asyncio.Event()
        _shared.waiting.append(event)
        await event.wait()
    return _shared.opened


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncGenerator[Resources]:
    """Open everything, and provide it to the flows of this process until the block ends."""
    ledger = Ledger.open(settings.database_url, lease=settings.lease)

    def recording_of(run_id: str) -> RecordedReplies | None:
        run = ledger.runs.get(run_id)
        return RecordedReplies(ledger, ledger.runs.get(run.rehearsed_run), run) if run.rehearsed_run else None

    def script_of(run_id: str) -> Script:
        digest = ledger.runs.get(run_id).options.rehearsal
        return ledger.artifacts.get(digest, StoredScript).script

    async with (
        open_threads(settings.threads) as threads,
        RehearsalServer(script_of, recording_of) as rehearsal,
        httpx.AsyncClient() as http,
    ):
        machine = f"{socket.gethostname()}-{sha256(str(settings.home))[-8:]}"
        holder = f"{machine}/{new_id('engine')}"
        _shared.provide(Resources(settings, ledger, threads, rehearsal, http, dict(os.environ), holder))
        try:
            yield await resources()
        finally:
            _shared.provide(None)
            ledger.close()
