"""Prefect as the executor of runs: a stage is a task, a rollback a flow of its own, and a wait a paused flow run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

import httpx
from prefect import flow, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectException

from phasegate.flows.engine.executor import ForcedState
from phasegate.flows.engine.prefect_backend.flow_run import FlowRunExecution
from phasegate.flows.engine.prefect_backend.forced_states import forced_between
from phasegate.flows.engine.prefect_backend.gate_wait import wait_at_gate
from phasegate.flows.engine.wakeups import Decided, WakeupRegistry, current_slot
from phasegate.infra.inert_markdown import inert_markdown
from phasegate.infra.settings import Settings

Result = TypeVar("Result")

_HEAD_START_SECONDS = 0.05
"""From a stage's beginning to its first model call, and a little more."""

_LONGEST_PAGE = 100_000
"""Characters of a page in Prefect."""
_log = logging.getLogger(__name__)


class PrefectExecutor:
    """Executes a run as a Prefect flow run; called inside of one.

    Attributes:
        wakeups: The engine's registry.
    """

    def __init__(self, wakeups: WakeupRegistry) -> None:
        """Wait for the wake-ups of an engine."""
        self.wakeups = wakeups

    async def run_stage(self, name: str, number: int, work: Callable[[], Awaitable[Result]]) -> Result:
        """As `Executor.run_stage`: a Prefect task, whose cache is off because the ledger decides.

        The work begins before Prefect is told of it: a report to Prefect must not keep a model waiting.
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
        """
        tasks: list[asyncio.Future[None]] = []

        @flow(name=name, flow_run_name=name, persist_result=False, validate_parameters=False)
        async def apart() -> None:
            tasks.append(asyncio.ensure_future(work()))
            await tasks[-1]

        try:
            await FlowRunExecution(flow=apart, parameters={}).run()
        except (httpx.HTTPError, PrefectException) as error:
            _log.warning("%s is not shown in Prefect: %r", name, error)
        # Prefect may hold it for over, or be away; what has to be done is not Prefect's to say
        await (tasks[-1] if tasks else work())

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
            key, run_id=run_id, decided=decided, wakeups=self.wakeups, settings=settings, in_process=in_process
        )

    async def forced_states(self, opened: datetime, answered: datetime | None) -> Sequence[ForcedState]:
        """As `Executor.forced_states`: read from Prefect; none while it does not answer, since they decide nothing."""
        return await forced_between(opened, answered)


async def _show(key: str, *, markdown: str, description: str) -> None:
    if (more := len(markdown) - _LONGEST_PAGE) > 0:
        markdown = f"{markdown[:_LONGEST_PAGE]}\n\n… {more} characters left out; `phasegate show` has all of it."
    page = await asyncio.to_thread(inert_markdown, markdown)
    try:
        await acreate_markdown_artifact(key=key, markdown=page, description=inert_markdown(description))
    except (httpx.HTTPError, PrefectException) as error:
        _log.warning("%s is not shown in Prefect: %r", description, error)
