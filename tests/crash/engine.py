"""An engine without Prefect, that dies where it is told to: `python -m tests.crash.engine`.

Reads lives from standard input, one JSON object per line, and answers with how each ended. Everything is imported
once; each life is a fork, so that a kill -9 and a restart cost milliseconds. What a life does is what the engine does:
the real reconciler looks after the runs, the real lifecycle carries them. What it does without is Prefect: a flow run
is a coroutine (`PlainEngine`), a stage a call (`InProcessExecutor`), and the scene's person decides in the ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar, cast
from uuid import NAMESPACE_OID, UUID, uuid5

import httpx
from tests.crash.scenes import SCENES, CrashScenario, ScenePerson
from tests.support.greeter import REQUESTER
from typing_extensions import override

from phasegate.agents.models import windows
from phasegate.flows.engine.engine import Engine
from phasegate.flows.engine.executor import Executor, InProcessExecutor
from phasegate.flows.engine.reconciler import serve
from phasegate.flows.engine.resources import resources
from phasegate.flows.engine.wakeups import Decided
from phasegate.flows.lifecycle.pipeline import pipeline
from phasegate.flows.lifecycle.runner import run_lifecycle
from phasegate.flows.runs.kickoff import KickoffRequest, kick_off
from phasegate.infra import crash_points
from phasegate.infra.errors import NotFound
from phasegate.infra.ledger import STOPPED, Ledger, Run
from phasegate.infra.settings import Settings

PATIENCE_SECONDS = 240
_GLANCE_SECONDS = 0.005

Result = TypeVar("Result")


class PersonExecutor(InProcessExecutor):
    """Executes a run in this process; every wait is answered at once."""

    def __init__(self, person: ScenePerson) -> None:
        """Use a person who answers."""
        super().__init__()
        self._person = person

    @override
    async def run_stage(self, name: str, number: int, work: Callable[[], Awaitable[Result]]) -> Result:
        self._person.watch(name, number)
        return await work()

    @override
    async def wait_until(
        self, key: str, *, run_id: str, decided: Decided, settings: Settings, in_process: bool = False
    ) -> None:
        while key.startswith("step:") and not decided():  # noqa: ASYNC110 -- time alone decides
            await asyncio.sleep(_GLANCE_SECONDS)
        if not decided():
            self._person.answer(run_id, key, decided)
        assert decided(), f"{key} is not answered"


class PlainEngine:
    """The engine as the reconciler uses it, with coroutines of this process for flow runs."""

    def __init__(self, settings: Settings, executor: Executor) -> None:
        """Know no flow run: an engine that died took its own along."""
        self.settings, self.executor, self.draining, self.worker = settings, executor, False, self
        self._flows: dict[UUID, tuple[str, asyncio.Task[None]]] = {}
        self._woken = asyncio.Event()

    has_place = True

    async def repair_prefect(self) -> None:
        """Do nothing: there is no Prefect."""

    def is_running(self, flow_run_id: UUID) -> bool:
        return flow_run_id in self._flows and not self._flows[flow_run_id][1].done()

    async def create_flow_run(self, run_id: str, *, idempotency_key: str, name: str) -> UUID:
        flow_run_id = uuid5(NAMESPACE_OID, idempotency_key)
        self._flows[flow_run_id] = run_id, asyncio.create_task(run_lifecycle(run_id, pipeline, self.executor))
        return flow_run_id

    async def reschedule(self, flow_run_id: UUID, run_id: str) -> None:
        if flow_run_id not in self._flows:
            raise NotFound("another life's flow run")
        _, before = self._flows[flow_run_id]
        before.result()
        self._flows[flow_run_id] = run_id, asyncio.create_task(run_lifecycle(run_id, pipeline, self.executor))

    async def next_wake(self, period: float) -> None:
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(period):
                await self._woken.wait()

    def wake(self) -> None:
        self._woken.set()


async def live(folder: Path, scene: str) -> None:
    """Be the engine of a folder until its one run has stopped, and no person has a further request."""
    settings = Settings(home=folder / "home", lease=SCENES[scene].lease)
    settings.create_folders()
    ledger = Ledger.open(settings.database_url)
    person = ScenePerson(SCENES[scene], ledger, folder)
    engine = PlainEngine(settings, PersonExecutor(person))
    service = asyncio.create_task(serve(cast("Engine", engine)))
    shared = await resources()

    async def note_request(request: httpx.Request) -> None:
        with (folder / "requests.log").open("a") as log:
            log.write(f"{request.url.path}\n")

    shared.http.event_hooks["request"].append(note_request)
    run_id = _accepted(ledger, settings, folder, SCENES[scene]).id
    going = True
    while going:
        engine.wake()
        await _until_stopped(ledger, run_id, service, shared.active_runs.running, person)
        going = person.after(ledger.runs.get(run_id))
    service.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await service
    ledger.close()


async def _until_stopped(
    ledger: Ledger, run_id: str, service: asyncio.Task[None], carried: set[str], person: ScenePerson
) -> None:
    while True:
        if service.done():
            service.result()
        run = ledger.runs.get(run_id)
        if run.status in STOPPED and not run.request and not carried:
            return
        person.glance(run)
        if run.status in {"waiting", "paused"} and not carried:
            person.answer_cold(run)  # a run that waited when its engine died is owned by no engine
        await asyncio.sleep(_GLANCE_SECONDS)


def _accepted(ledger: Ledger, settings: Settings, folder: Path, scene: CrashScenario) -> Run:
    if runs := ledger.runs.list():
        return runs[0]
    return kick_off(
        KickoffRequest(
            str(folder / "ticket.md"), folder / "greeter", rehearsal=folder / "script.yaml", approve=scene.approve
        ),
        ledger=ledger,
        settings=settings,
        person=REQUESTER,
        environment={},
        stdin=bytes,
    )


def _fork(folder: Path, scene: str, at: str, log: str) -> int:
    """Run one life in a fork.

    Returns:
        Its exit code as `subprocess` gives it: negative for a signal.
    """
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        signal.alarm(PATIENCE_SECONDS)
        faulthandler.dump_traceback_later(PATIENCE_SECONDS - 5)
        output = os.open(folder / "engine.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        logging.basicConfig(level=logging.WARNING, stream=sys.stderr, force=True)
        if window := SCENES[scene].window:
            windows._INPUT_TOKENS.update(dict.fromkeys(windows._INPUT_TOKENS, window))
        crash_points.arm({crash_points.CRASH_AT: at, crash_points.CRASH_LOG: log})
        asyncio.run(live(folder, scene))
        code = 0
    except BaseException:  # noqa: BLE001  a fork must never return into its parent's code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Serve lives until standard input ends."""
    for line in sys.stdin:
        order = json.loads(line)
        print(_fork(Path(order["folder"]), order["scene"], order["at"], order["log"]), flush=True)  # noqa: T201 - the answer to its caller


if __name__ == "__main__":
    main()
