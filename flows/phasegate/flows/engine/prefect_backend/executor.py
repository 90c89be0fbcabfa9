"""Executor of a run's flow: Prefect, unless this process chooses another.

Everything the lifecycle asks of Prefect while a run is under way goes through `current_executor()`: running a stage
as a task or a rollback as a flow of its own, publishing artifacts, waiting for a person. None of it decides anything,
so the lifecycle runs the same without: the crash tests run it in a plain asyncio process (`use_executor`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

import httpx
from prefect import flow, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectException

from phasegate.flows.engine.prefect_backend.flow_run import FlowRunExecution
from phasegate.flows.engine.prefect_backend.gate_wait import Decided, wait_at_gate
from phasegate.flows.engine.wakeups import current_slot, current_wakeups
from phasegate.infra.settings import Settings

Result = TypeVar("Result")

_HEAD_START_SECONDS = 0.05
"""From a stage's beginning to its first model call, and a little more."""

_log = logging.getLogger(__name__)


class Executor(Protocol):
    """Port to what executes a run: Prefect, or a plain asyncio process."""

    async def run_stage(self, name: str, number: int, work: Callable[[], Awaitable[Result]]) -> Result:
        """Run the work once, now, and show it as the `number`th try of a stage."""
        ...

    async def run_subflow(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work, now, and show it as a flow of its own."""
        ...

    async def publish_artifact(self, key: str, *, markdown: str, description: str) -> None:
        """Show a stage's artifact. It decides nothing, so a failure to show it is only logged."""
        ...

    async def wait_until(
        self, key: str, *, run_id: str, decided: Decided, settings: Settings, in_process: bool = False
    ) -> None:
        """Return once `decided` says so, or leave the flow, to be executed later from the top.

        Args:
            key: Names the wait.
            run_id: The run whose wake-ups to subscribe to.
            decided: True if the wait is over; called often, so it must be quick.
            settings: For how long, and with how many others, to wait hot.
            in_process: True if the wait must never leave the process, since background coroutines would end with it.
        """
        ...


class PrefectExecutor:
    """Executes a run as a Prefect flow run; called inside of one."""

    async def run_stage(self, name: str, number: int, work: Callable[[], Awaitable[Result]]) -> Result:
        """As `Executor.run_stage`: a Prefect task, whose cache is off because the ledger decides.

        The work begins before Prefect is told of it: a report to Prefect must not keep a model waiting.

        The work begins before Prefect is told of it: what Prefect shows must not keep a model waiting.
        """
        working = asyncio.ensure_future(work())
        try:
            await asyncio.wait({working}, timeout=_HEAD_START_SECONDS)

            @task(name=name, task_run_name=f"{name} #{number}", cache_policy=NO_CACHE, persist_result=False)
            async def stage_attempt() -> Result:
                return await working

            return await stage_attempt()
        except (httpx.HTTPError, PrefectException) as error:
            _log.warning("%s is not shown in Prefect: %r", name, error)
            return await working
        finally:
            working.cancel()
            await asyncio.wait({working})

    async def run_subflow(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """As `Executor.run_subflow`: a flow run below the run's own, the same again after a crash.

        It must not wait for a person: such a flow run cannot be suspended.

        It must not wait for anybody: such a flow run cannot be suspended.
        """
        begun: list[asyncio.Future[None]] = []

        @flow(name=name, flow_run_name=name, persist_result=False, validate_parameters=False)
        async def apart() -> None:
            begun.append(asyncio.ensure_future(work()))
            await begun[-1]

        try:
            await FlowRunExecution(flow=apart, parameters={}).run()
        except (httpx.HTTPError, PrefectException) as error:
            _log.warning("%s is not shown in Prefect: %r", name, error)
        # Prefect may hold it for over, or be away; what has to be done is not Prefect's to say
        await (begun[-1] if begun else work())

    async def publish_artifact(self, key: str, *, markdown: str, description: str) -> None:
        """As `Executor.publish_artifact`: Markdown in Prefect's UI, a moment later, so that nothing waits for it."""
        showing = _show(key, markdown=markdown, description=description)
        if slot := current_slot():
            slot.defer_report(showing)
        else:
            await showing

    async def wait_until(
        self, key: str, *, run_id: str, decided: Decided, settings: Settings, in_process: bool = False
    ) -> None:
        """As `Executor.wait_until`: hot for a while, then suspended.

        Raises:
            Pause: The flow run was suspended. Let it pass.
        """
        await wait_at_gate(
            key, run_id=run_id, decided=decided, wakeups=current_wakeups(), settings=settings, in_process=in_process
        )


async def _show(key: str, *, markdown: str, description: str) -> None:
    try:
        await acreate_markdown_artifact(key=key, markdown=markdown, description=description)
    except (httpx.HTTPError, PrefectException) as error:
        _log.warning("%s is not shown in Prefect: %r", description, error)


_PREFECT = PrefectExecutor()
_executor: ContextVar[Executor] = ContextVar("executor", default=_PREFECT)


def current_executor() -> Executor:
    """Executor of the current task's flow."""
    return _executor.get()


@contextmanager
def use_executor(other: Executor) -> Generator[None]:
    """Execute the flows of this task, and of tasks it starts, by another executor."""
    token = _executor.set(other)
    try:
        yield
    finally:
        _executor.reset(token)
