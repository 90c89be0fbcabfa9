"""P1: Prefect shows, and decides nothing: while it does not answer, what has to be done is done all the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from tests.integration.replay import conftest
from tests.support.lifecycle import LifecycleHarness

from phasegate.flows.engine.prefect_backend import executor
from phasegate.flows.engine.wakeups import Decided, WakeupRegistry
from phasegate.infra.settings import Settings

house = conftest.house

REQUEST = httpx.Request("POST", "http://127.0.0.1/api/task_runs/")


def away(status: int = 500) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError("Prefect is busy", request=REQUEST, response=httpx.Response(status, request=REQUEST))


class Work:
    """Counts how often it is done."""

    def __init__(self) -> None:
        self.done = 0

    async def __call__(self) -> None:
        self.done += 1


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
async def test_a_stage_is_worked_on_once_while_prefect_is_away(monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    """Mutation tried: `stage` lets the error pass."""

    def task(**_: object) -> Callable[[Callable[[], Awaitable[object]]], Callable[[], Awaitable[object]]]:
        def shown(stage: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
            async def run() -> None:
                if late:
                    await stage()
                raise away()

            return run

        return shown

    monkeypatch.setattr(executor, "task", task)
    work = Work()
    await executor.PrefectExecutor(WakeupRegistry()).run_stage("prd", 1, work)
    assert work.done == 1


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
async def test_a_rollback_is_made_once_while_prefect_is_away(monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    """Seen: Prefect answered 500 as a rollback began, and the run failed with its merge in place.

    Mutation tried: `flow` lets the error pass.
    """

    class Execution:
        def __init__(self, flow: Any, parameters: object) -> None:
            self.flow = flow

        async def run(self) -> None:
            if late:
                await self.flow.fn()
            raise away()

    monkeypatch.setattr(executor, "FlowRunExecution", Execution)
    work = Work()
    await executor.PrefectExecutor(WakeupRegistry()).run_subflow("rollback", work)
    assert work.done == 1


@pytest.mark.parametrize(
    ("error", "ends"), [(away(), "done"), (httpx.ConnectError("no"), "done"), (away(422), "failed")], ids=repr
)
async def test_a_run_that_could_not_wait_for_prefect_is_walked_again(
    house: LifecycleHarness, monkeypatch: pytest.MonkeyPatch, error: httpx.HTTPError, ends: str
) -> None:
    """Mutation tried: `_is_prefect_away` always False; the run then fails. A refusal is no reason to wait."""
    errors, wait = [error], house.wait_until

    async def waits(key: str, *, run_id: str, decided: Decided, settings: Settings, in_process: bool = False) -> None:
        if errors:
            raise errors.pop()
        await wait(key, run_id=run_id, decided=decided, settings=settings)

    monkeypatch.setattr(house, "wait_until", waits)
    run = await house.run()
    assert run.status == ends, run.reason
    house.ledger.audit(run.id)
