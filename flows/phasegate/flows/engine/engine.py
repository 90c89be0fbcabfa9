"""The engine's inside: Prefect's client, the worker, the socket and the background services, in one event loop.

Made by the daemon, which has taken the lock, started the Prefect server and set Prefect's environment before this
module is imported. Services are handed the engine and find everything they may use on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.context import AsyncClientContext
from prefect.exceptions import PrefectException

from phasegate.flows.engine import ipc
from phasegate.flows.engine.prefect_backend import dispatch
from phasegate.flows.engine.prefect_backend.registration import Registration
from phasegate.flows.engine.prefect_backend.worker import PhasegateWorker
from phasegate.flows.engine.wakeups import WakeupRegistry
from phasegate.infra.errors import ConfigError, NotFound
from phasegate.infra.settings import Settings

_PREFECT_CHECK_SECONDS = 15.0
_SERVICE_PAUSE_SECONDS = 5.0

Service = Callable[["Engine"], Awaitable[None]]

_log = logging.getLogger(__name__)


class Engine:
    """The engine of one machine, while it serves.

    Attributes:
        settings: The machine's settings.
        wakeups: Wakes gates that wait hot.
        worker: Runs the flow runs.
        client: Prefect's client.
        deployment_id: The deployment every run belongs to.
        is_reconciled: True once the reconciler reschedules suspended runs at each wake; the engine then does not.
    """

    client: PrefectClient
    deployment_id: UUID
    is_reconciled = False

    def __init__(self, settings: Settings, *, entrypoint: str, services: Sequence[Service] = ()) -> None:
        """An engine that does not serve yet.

        Args:
            settings: The machine's settings.
            entrypoint: The flow, as `package.module:name`.
            services: Background services; one that fails is started again, and all are cancelled at the end.

        Raises:
            ConfigError: The entrypoint names no async flow.
        """
        self.settings = settings
        self.wakeups = WakeupRegistry()
        # Nothing is stored there; without it, Prefect asks its server for each flow run where to, and all else waits.
        # A place named would have it store results, and take them for what a stage has done.
        loaded = load_flow(entrypoint)
        self._flow = loaded.with_options(
            result_storage=settings.prefect / "results", persist_result=loaded.persist_result or False
        )
        self.worker = PhasegateWorker(self._flow, settings=settings, wakeups=self.wakeups)
        self._entrypoint = entrypoint
        self._services = services
        self._stop_requested = asyncio.Event()
        self._wakes: set[asyncio.Task[bool]] = set()
        self._woken = asyncio.Event()

    @property
    def draining(self) -> bool:
        """True once a stop was requested: the engine schedules nothing new."""
        return self._stop_requested.is_set()

    def request_stop(self) -> None:
        """Begin to drain."""
        self._stop_requested.set()
        self._woken.set()

    async def serve(self, *, on_ready: Callable[[], None], on_altered: Callable[[str], None]) -> None:
        """Serve until a stop is requested, then drain.

        Args:
            on_ready: Called once requests are answered.
            on_altered: Called with a sentence for each thing in Prefect that somebody altered, and that was put right.
        """
        self._on_altered = on_altered
        async with AsyncClientContext.get_or_create() as context:  # one connection pool for all that runs here
            self.client = context.client
            self._registration = Registration(self.client, self._flow, self._entrypoint)
            self.deployment_id = await self._registration.register()
            door = await ipc.serve(self.settings.engine_socket, self._answer)
            try:
                await self._work(on_ready)
            finally:
                door.close()

    async def _work(self, on_ready: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(self.worker.serve())
            services = [tasks.create_task(_keep_serving(service, self)) for service in self._services]
            services.append(tasks.create_task(self._watch_prefect()))
            on_ready()
            await self._stop_requested.wait()
            self.worker.stop()
            await working
            for service in services:  # last: the flow runs that were drained worked with what a service had opened
                service.cancel()

    async def _watch_prefect(self) -> None:
        """Look at Prefect while runs go on, and whenever one that was scheduled has not been taken up."""
        while True:
            await asyncio.sleep(_PREFECT_CHECK_SECONDS)
            if self.worker.live_flow_runs():
                await self.repair_prefect()

    async def repair_prefect(self) -> None:
        """Put right what was altered in Prefect, and say so."""
        try:
            async for text in self._registration.repair():
                _log.error("Prefect was altered. %s", text)
                self._on_altered(text)
            self.deployment_id = await self._registration.register()
        except (httpx.HTTPError, PrefectException) as error:
            _log.warning("Prefect is looked at again in a moment: %r", error)

    async def create_flow_run(self, run_id: str, *, idempotency_key: str, name: str, tags: Iterable[str] = ()) -> UUID:
        """`dispatch.create_flow_run` for this engine; it is taken up at once."""
        async with self.worker.queue_lock:
            try:
                flow_run_id = await self._create(run_id, idempotency_key, name, tags)
            except NotFound:  # the deployment was deleted
                await self.repair_prefect()
                flow_run_id = await self._create(run_id, idempotency_key, name, tags)
        self.worker.wake()
        return flow_run_id

    async def _create(self, run_id: str, idempotency_key: str, name: str, tags: Iterable[str]) -> UUID:
        return await dispatch.create_flow_run(
            self.client, self.deployment_id, run_id, idempotency_key=idempotency_key, name=name, tags=tags
        )

    async def reschedule(self, flow_run_id: UUID, run_id: str) -> bool:
        """`dispatch.reschedule` for this engine; it is taken up at once."""
        async with self.worker.queue_lock:
            set_going = await dispatch.reschedule(
                self.client,
                flow_run_id,
                run_id,
                deployment_id=self.deployment_id,
                running_here=self.worker.is_running,
            )
        self.worker.wake()
        return set_going

    async def open_flow_runs(self, run_id: str | None = None) -> list[dispatch.OpenFlowRun]:
        """`dispatch.open_flow_runs` for this engine."""
        return await dispatch.open_flow_runs(self.client, self.deployment_id, run_id=run_id)

    async def wake(self, run_id: str) -> bool:
        """Wake a run, so that its gate asks again if there is a decision.

        A hot gate is notified in this process, and nothing else is woken then. A suspended flow run is rescheduled, by
        the
        reconciler if there is one. The gate asks `decided` again, so a needless wake-up costs a moment and opens
        nothing.

        Returns:
            False if no flow run of it waits.
        """
        if self.wakeups.notify(run_id):
            return True
        self._woken.set()
        if self.is_reconciled:
            return True
        woken = False
        for flow_run in await self.open_flow_runs(run_id):
            if flow_run.waiting:
                await self.worker.wait_finished(flow_run.id)  # it may have been suspended this very instant
                woken |= await self.reschedule(flow_run.id, run_id)
        if not woken:
            self.worker.wake()
        return woken

    async def next_wake(self, seconds: float) -> None:
        """Wait for the next wake of any run, but no longer than this."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # wait_for loses a cancellation that comes together with a wake
                await self._woken.wait()
        self._woken.clear()

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request:
            case {"verb": "ping"}:
                return {"ok": True, "live": len(self.worker.live_flow_runs()), "hot": self.wakeups.subscriber_count}
            case {"verb": "wake", "run_id": str(run_id)}:
                task = asyncio.create_task(self.wake(run_id))  # the caller has no use for the outcome
                self._wakes.add(task)
                task.add_done_callback(self._woke)
                return {"ok": True}
            case {"verb": "stop"}:
                self.request_stop()
                return {"ok": True}
            case _:
                return {"ok": False, "error": "unknown verb"}

    def _woke(self, task: asyncio.Task[bool]) -> None:
        self._wakes.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("A wake came to nothing; the next look at what waits makes up for it: %r", error)


async def _keep_serving(service: Service, engine: Engine) -> None:
    while True:
        attempt = asyncio.ensure_future(service(engine))
        try:
            await asyncio.wait({attempt})
        finally:
            attempt.cancel()
        if (error := attempt.exception()) is None:
            return
        _log.error("A background service failed and is started again: %r", error, exc_info=error)
        await asyncio.sleep(_SERVICE_PAUSE_SECONDS)


def load_flow(entrypoint: str) -> Flow[..., Any]:
    """The async flow that `package.module:name` names.

    Raises:
        ConfigError: It names none.
    """
    module, _, name = entrypoint.partition(":")
    try:
        flow = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise ConfigError(f"The engine cannot import {module}: {error}.") from error
    if not isinstance(flow, Flow) or not flow.isasync:
        raise ConfigError(f"{entrypoint} is not an async flow.")
    return cast("Flow[..., Any]", flow)


def load_service(name: str) -> Service:
    """The background service that `package.module:name` names.

    Raises:
        ConfigError: It names none.
    """
    module, _, attribute = name.partition(":")
    try:
        service: Service | None = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        raise ConfigError(f"The engine cannot import {module}: {error}.") from error
    if service is None:
        raise ConfigError(f"{name} is not a background service.")
    return service
