"""Execution of a flow run in this process: Prefect's own engine without its parts for a process per run.

Started by the worker. Prefect's engine assumes that it owns its process. It opens a web socket and two threads per flow
run, for suspensions and heartbeats, and blocks the event loop while they come and go. It reports a cancelled coroutine
as a crash. Here one process runs all flow runs, and its worker watches over them.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from enum import Enum
from typing import Any

import anyio
from prefect.client.schemas.objects import State
from prefect.exceptions import Abort, Pause
from prefect.flow_engine import AsyncFlowRunEngine
from prefect.states import Cancelled, Scheduled

from phasegate.flows.engine.wakeups import current_slot


class StopReason(Enum):
    """Reason why the worker cancelled a flow run's coroutine."""

    DRAINED = "the engine stopped"
    CANCELLED = "cancelled in Prefect"
    SUSPENDED = "suspended in Prefect"


class FlowRunExecution(AsyncFlowRunEngine[..., Any]):
    """Runs one flow run to its end, to a suspension, or until its coroutine is cancelled.

    Attributes:
        stop_reason: The reason why it was stopped, if it was.
        is_named: True if Prefect knows it by its own name already.
    """

    stop_reason: StopReason | None = None
    is_named: bool = False

    async def run(self) -> None:
        """Run the flow. Its outcome is the flow run's state in Prefect.

        Raises:
            httpx.HTTPError: The Prefect server stopped answering; the state is left as it was.
            asyncio.CancelledError: The coroutine was cancelled.
        """
        self._flow_run_name_set = self.is_named
        try:
            async with self.start():
                while self.is_running():
                    async with self.run_context():
                        _ = await self.call_flow_fn()
        except (Pause, Abort):
            return  # suspended, or no longer ours: Prefect has the state

    @property
    def heartbeat_seconds(self) -> int | None:
        """None, for no heartbeats: nothing here may take a waiting run for dead."""
        return None

    @contextmanager
    def setup_flow_run_suspension_request(self) -> Generator[Any, None, None]:
        """Allow no suspension but the gate's, and no stop but the worker's cancellation."""
        yield self._get_flow_run_suspension_request()

    async def set_state(self, state: State[Any], force: bool = False) -> State[Any]:  # noqa: FBT001, FBT002 -- Prefect's
        """Set the state after the slot's deferred reports, so that Prefect gets all in order."""
        if slot := current_slot():
            await slot.flush_reports()
        return await super().set_state(state, force=force)

    async def handle_crash(self, exc: BaseException) -> None:
        """Set the state of a flow run whose coroutine was cancelled; leave true crashes to Prefect."""
        match self.stop_reason:
            case None:
                await super().handle_crash(exc)
            case StopReason.DRAINED:
                # Not a crash: the worker that polls next, that of the next engine, resumes it.
                with anyio.CancelScope(shield=True):
                    await self.set_state(Scheduled(message=self.stop_reason.value), force=True)
            case StopReason.CANCELLED:
                with anyio.CancelScope(shield=True):
                    await self.set_state(Cancelled(message=self.stop_reason.value), force=True)
            case StopReason.SUSPENDED:
                return
