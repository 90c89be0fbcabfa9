"""What carries a run's flow: Prefect, unless this process says otherwise.

Everything the lifecycle asks of Prefect while a run is under way goes through `carrier()`: running a stage as a task
or a rollback as a flow of its own, showing what was made, waiting for a person. None of it decides anything, so the
lifecycle runs the same without: the crash tests carry it in a plain asyncio process, hundreds of times (`carried_by`).
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
from phasegate.flows.engine.wakeups import current_doorbell, current_slot
from phasegate.infra.settings import Settings

Result = TypeVar("Result")

_HEAD_START_SECONDS = 0.05
"""From a stage's beginning to its first model call, and a little more."""

_log = logging.getLogger(__name__)


class Carrier(Protocol):
    """What the lifecycle needs of whatever carries it."""

    async def stage(self, name: str, number: int, work: Callable[[], Awaitable[Result]]) -> Result:
        """Run the work once, now, and show it as the `number`th try of a stage."""
        ...

    async def flow(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work, now, and show it as a flow of its own."""
        ...

    async def show(self, key: str, *, markdown: str, description: str) -> None:
        """Show what a stage made. What is shown decides nothing, so a failure to show is only logged."""
        ...

    async def wait(self, key: str, *, run_id: str, decided: Decided, settings: Settings) -> None:
        """Return once `decided` says so, or leave the flow, to be carried on later from the top."""
        ...


class PrefectCarrier:
    """Carries a run as a Prefect flow run; called inside of one."""

    async def stage(self, name: str, number: int, work: Callable[[], Awaitable[Result]]) -> Result:
        """As `Carrier.stage`: a Prefect task, whose cache is off because the ledger decides.

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

    async def flow(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """As `Carrier.flow`: a flow run below the run's own, the same again after a crash.

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

    async def show(self, key: str, *, markdown: str, description: str) -> None:
        """As `Carrier.show`: a Markdown artifact in Prefect's UI, a moment later, so that nothing waits for it."""
        showing = _show(key, markdown=markdown, description=description)
        if slot := current_slot():
            slot.report_later(showing)
        else:
            await showing

    async def wait(self, key: str, *, run_id: str, decided: Decided, settings: Settings) -> None:
        """As `Carrier.wait`: hot for a while, then suspended.

        Raises:
            Pause: The flow run was suspended. Let it pass.
        """
        await wait_at_gate(key, run_id=run_id, decided=decided, doorbell=current_doorbell(), settings=settings)


async def _show(key: str, *, markdown: str, description: str) -> None:
    try:
        await acreate_markdown_artifact(key=key, markdown=markdown, description=description)
    except (httpx.HTTPError, PrefectException) as error:
        _log.warning("%s is not shown in Prefect: %r", description, error)


_PREFECT = PrefectCarrier()
_carrier: ContextVar[Carrier] = ContextVar("carrier", default=_PREFECT)


def carrier() -> Carrier:
    """What carries the flow of the current task."""
    return _carrier.get()


@contextmanager
def carried_by(other: Carrier) -> Generator[None]:
    """Have something else carry the flows of this task and of those it starts."""
    token = _carrier.set(other)
    try:
        yield
    finally:
        _carrier.reset(token)
