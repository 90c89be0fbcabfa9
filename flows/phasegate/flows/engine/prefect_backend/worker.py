"""Prefect worker of phasegate: it takes flow runs from the work pool and runs them inside this process.

Made by the engine. Prefect's `BaseWorker` claims flow runs (Scheduled → Pending → Running, at most one taker). This
class polls, wakes, bounds the number of flow runs at work, and ends them.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any
from uuid import UUID

import anyio
import anyio.abc
import httpx
from prefect import Flow
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterState, FlowRunFilterStateName
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.logging.loggers import get_logger
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from phasegate.flows.engine.prefect_backend.flow_run import FlowRunExecution, StopReason
from phasegate.flows.engine.wakeups import Slot, WakeupRegistry, bind
from phasegate.infra.settings import Settings

POOL = "phasegate"
_POLL_SECONDS = 1.0
_POLL_SECONDS_WHILE_FAILING = 5.0
_POLLS_PER_WATCH = 3
_STOPPED_IN_PREFECT = {"Cancelling": StopReason.CANCELLED, "Suspended": StopReason.SUSPENDED}

_log = get_logger("phasegate.worker")


class PhasegateWorker(BaseWorker[BaseJobConfiguration, BaseVariables, BaseWorkerResult]):
    """Runs the flow runs of one deployment in this event loop.

    Attributes:
        queue_lock: Held while flow runs are put into Prefect's queue or taken out. SQLite refuses one of two writers at
            once, which comes again after seconds only.
    """

    type = "phasegate"
    _description = "Runs flow runs inside phasegate's engine."

    def __init__(self, flow: Flow[..., Any], *, settings: Settings, wakeups: WakeupRegistry) -> None:
        """A worker for one flow.

        Args:
            flow: The deployment's flow, loaded once.
            settings: The limit on flow runs that work at once.
            wakeups: Bound to every flow run.
        """
        super().__init__(work_pool_name=POOL, name="phasegate-engine", prefetch_seconds=0, limit=settings.concurrency)
        self._flow = flow
        self._wakeups = wakeups
        self._executions: dict[UUID, tuple[FlowRunExecution, asyncio.Task[None]]] = {}
        self._seen_stopped: dict[UUID, UUID | None] = {}
        self.queue_lock = asyncio.Lock()
        self._woken = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Poll at once."""
        self._woken.set()

    def stop(self) -> None:
        """Take no more flow runs, and let `serve` return once the running ones have been drained."""
        self._stopping = True
        self._woken.set()

    @property
    def has_place(self) -> bool:
        """True if it would take another flow run now."""
        return self.limiter.available_tokens >= 1

    def is_running(self, flow_run_id: UUID) -> bool:
        """True if this worker runs this flow run, or is claiming it."""
        return flow_run_id in self._executions or flow_run_id in self._submitting_flow_run_ids

    def live_flow_runs(self) -> frozenset[UUID]:
        """The flow runs that this worker runs or is claiming, those that wait hot included."""
        return frozenset(self._executions) | frozenset(self._submitting_flow_run_ids)

    async def wait_finished(self, flow_run_id: UUID) -> None:
        """Wait until a flow run that is ending has ended."""
        if execution := self._executions.get(flow_run_id):
            await asyncio.wait({execution[1]})
        while self.is_running(flow_run_id):  # noqa: ASYNC110 -- being claimed ends without a sign
            await asyncio.sleep(0.005)

    async def serve(self) -> None:
        """Poll and run until `stop`; then drain the running flow runs.

        Raises:
            httpx.HTTPError: The Prefect server did not answer at the start.
        """
        async with self:
            heartbeat = asyncio.create_task(self._heartbeat())
            try:
                await self._poll_until_stopped()
            finally:
                heartbeat.cancel()
                await self._drain()

    async def _poll_until_stopped(self) -> None:
        polls = 0
        while not self._stopping:
            self._woken.clear()
            pause = _POLL_SECONDS
            try:
                await self.get_and_submit_flow_runs()
                if polls % _POLLS_PER_WATCH == 0:
                    await self._end_those_stopped_in_prefect()
            except httpx.HTTPError as error:
                _log.warning("Prefect does not answer: %r", error)
                pause = _POLL_SECONDS_WHILE_FAILING
            polls += 1
            await _wait(self._woken, pause)

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(self.heartbeat_interval_seconds)
            try:
                await self.sync_with_backend()
            except httpx.HTTPError as error:
                _log.warning("Prefect does not hear this worker: %r", error)

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        # Prefect's UI may force a state on a flow run that waits hot in this process: it must not run twice.
        async with self.queue_lock:
            scheduled = await super()._get_scheduled_flow_runs()
        return [entry for entry in scheduled if not self.is_running(entry.flow_run.id)]

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Poll, if there is a place for another flow run."""
        return await super().get_and_submit_flow_runs() if self.has_place else []

    async def _submit_run(self, flow_run: FlowRun) -> None:
        # Nothing is submitted to anywhere, so Prefect need not be asked what with.
        is_taken = False
        try:
            is_taken = await self._propose_pending_state(flow_run)
            if is_taken:
                await self.run(flow_run, BaseJobConfiguration())
        finally:
            self._submitting_flow_run_ids.discard(flow_run.id)
            self._release_limit_slot(flow_run.id)
            if is_taken:  # a refused one is handed out again at the next poll
                self.wake()  # another flow run may wait for the place

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> BaseWorkerResult:
        """Run one flow run to its end; never reports it crashed."""
        execution = FlowRunExecution(flow=self._flow, parameters=flow_run.parameters, flow_run=flow_run)
        execution.is_named = flow_run.name == flow_run.parameters.get("run_id")
        task = asyncio.create_task(self._run_in_its_slot(execution, flow_run.id), name=f"flow-run-{flow_run.id}")
        self._executions[flow_run.id] = (execution, task)
        if task_status is not None:
            task_status.started(os.getpid())
        try:
            await asyncio.wait({task})
        finally:
            del self._executions[flow_run.id]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("Flow run %s was left as it is in Prefect: %r", flow_run.id, error, exc_info=error)
        return BaseWorkerResult(identifier=str(os.getpid()), status_code=0)

    async def _run_in_its_slot(self, execution: FlowRunExecution, flow_run_id: UUID) -> None:
        bind(self._wakeups, Slot(self.limiter, flow_run_id, self.wake))
        await execution.run()

    async def _end_those_stopped_in_prefect(self) -> None:
        """End flow runs that a person cancelled or suspended in Prefect.

        Two polls must see the same state, because a gate suspends its own flow run.
        """
        if not self._executions:
            return
        stopped = await self.client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                id=FlowRunFilterId(any_=list(self._executions)),
                state=FlowRunFilterState(name=FlowRunFilterStateName(any_=list(_STOPPED_IN_PREFECT))),
            )
        )
        before, self._seen_stopped = self._seen_stopped, {run.id: run.state_id for run in stopped}
        for flow_run in stopped:
            if before.get(flow_run.id) == flow_run.state_id and flow_run.state_name is not None:
                self._cancel(flow_run.id, _STOPPED_IN_PREFECT[flow_run.state_name])

    def _cancel(self, flow_run_id: UUID, reason: StopReason) -> None:
        if flow_run_id in self._executions:
            execution, task = self._executions[flow_run_id]
            if execution.stop_reason is None:
                execution.stop_reason = reason
                task.cancel()

    async def _drain(self) -> None:
        while live := self.live_flow_runs():
            for flow_run_id in live:
                self._cancel(flow_run_id, StopReason.DRAINED)
            await asyncio.sleep(0.01)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):  # wait_for loses a cancellation that comes together with the event
            await event.wait()
    except TimeoutError:
        return
