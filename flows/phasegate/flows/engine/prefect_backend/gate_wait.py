"""Waiting at a gate: hot for a while, then suspended.

Called by the lifecycle's gates, inside a flow. It opens nothing: `decided` alone says when to continue, whatever state
Prefect gave the flow run (P5). It must not know what a gate, a decision or the ledger is.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, NoReturn
from uuid import UUID, uuid4

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.states import Paused, Running, Suspended
from prefect.utilities.engine import propose_state

from phasegate.flows.engine.wakeups import (
    Decided,
    WakeupRegistry,
    await_decision,
    can_wait_in_process,
    current_slot,
    is_decided,
)
from phasegate.infra.settings import Settings

RESUMED = "a gate was decided, or is asked again"
"""Message to Prefect when a flow run that waited hot continues."""

_HEAD_START_SECONDS = 0.05
"""The decided flow continues first, and the report to Prefect follows."""


async def wait_at_gate(
    key: str, *, run_id: str, decided: Decided, wakeups: WakeupRegistry, settings: Settings, in_process: bool = False
) -> None:
    """Return once `decided` says so; the flow run may leave this process in between.

    Hot, the flow run stays a coroutine, shown as Paused in Prefect, gives its slot to others and continues when it
    is woken. After `settings.hot_gate`, or when `settings.max_hot` gates wait already, it is suspended: this function
    leaves the flow by Prefect's `Pause`, and is called again, from the top of the flow, once the flow run is
    rescheduled.

    Args:
        key: Names the gate in Prefect; made unique at each waiting, since Prefect lets a key pass once it has fired.
        run_id: The run whose wake-ups to subscribe to.
        decided: True once the flow may continue; called often, so it must be quick.
        wakeups: The engine's registry.
        settings: The limits of hot waiting: a time, and a number of gates.
        in_process: True if the wait must never leave the process, however long it takes.

    Effects: the flow run's state in Prefect. A replay that finds the gate decided returns at once.

    Raises:
        Pause: The flow run was suspended. Let it pass.
        RuntimeError: Called outside of a flow run.
    """
    if decided():
        return
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("A gate is waited at from within a flow run.")
    hot = in_process or can_wait_in_process(wakeups, settings)
    if slot := current_slot():
        await slot.flush_reports()
    async with get_client() as client:
        with wakeups.subscribe(run_id) as signal:
            waiting = _Waiting(client, context.flow_run.id, key, decided, signal)
            if hot and await waiting.hot(math.inf if in_process else settings.hot_gate.total_seconds()):
                return
            await waiting.suspend()


class _Waiting:
    """The wait of a flow run at a gate."""

    def __init__(
        self, client: PrefectClient, flow_run_id: UUID, key: str, decided: Decided, signal: asyncio.Event
    ) -> None:
        self._client = client
        self._flow_run_id = flow_run_id
        self._key = f"{key}:{uuid4().hex[:12]}"
        self._ask = decided
        self._signal = signal

    async def hot(self, seconds: float) -> bool:
        """Wait as a coroutine. Prefect shows the flow run as Running again afterwards.

        Returns:
            True if the gate was decided in time.
        """
        slot = current_slot()
        await propose_state(self._client, Paused(pause_key=f"{self._key}:hot"), flow_run_id=self._flow_run_id)
        if slot is not None:
            slot.release()
        decided = await await_decision(self._ask, self._signal, seconds=seconds)
        if slot is not None:
            await slot.acquire()
        if slot is not None and decided:
            slot.defer_report(self._show_running(after=_HEAD_START_SECONDS))
        else:
            await self._show_running()
        return decided

    async def suspend(self) -> None:
        """Leave the process, unless the decision comes while Prefect is told of it."""
        state = await propose_state(self._client, Suspended(pause_key=self._key), flow_run_id=self._flow_run_id)
        if not is_decided(self._ask):
            self._leave(state)
        await self._show_running()

    async def _show_running(self, *, after: float = 0) -> None:
        await asyncio.sleep(after)
        await propose_state(self._client, Running(message=RESUMED), flow_run_id=self._flow_run_id)

    @staticmethod
    def _leave(state: State[Any]) -> NoReturn:
        raise Pause(state=state)
