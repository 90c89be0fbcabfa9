"""Background coroutines of a pass: they end with it, and a waiting agent among them is found."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from phasegate.flows.lifecycle.background import Background
from phasegate.flows.lifecycle.signals import InputRequired, PauseRequested
from phasegate.infra.errors import QuestionAsked


async def blocked(need: QuestionAsked) -> None:
    raise InputRequired(need)


async def test_what_still_runs_is_cancelled_and_awaited() -> None:
    """Mutation tried: `cancel` without `gather`; the coroutine has then not cleaned up."""
    background, cleaned = Background(), list[str]()

    async def forever(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(name)

    background.start(forever("started"))
    background.include(asyncio.create_task(forever("included")))
    await asyncio.sleep(0)
    await background.cancel()
    assert sorted(cleaned) == ["included", "started"]


async def test_the_result_of_a_coroutine_outlives_the_cancellation() -> None:
    background = Background()

    async def work() -> int:
        return 7

    task = background.start(work())
    assert await task == 7
    await background.cancel()
    assert task.result() == 7


async def test_a_coroutine_of_low_priority_lets_the_pipeline_go_first() -> None:
    """Mutation tried: `low_priority` is ignored."""
    background, order = Background(), list[str]()

    async def work(name: str) -> None:
        order.append(name)

    late = background.start(work("late"), low_priority=True)
    await background.start(work("early"))
    assert order == ["early"]
    await late
    assert order == ["early", "late"]


async def test_a_coroutine_that_never_began_is_closed(recwarn: pytest.WarningsRecorder) -> None:
    """Mutation tried: `start` without the callback; Python then warns that the coroutine was never awaited."""
    background = Background()

    async def work() -> None:
        """Do nothing."""

    coroutine = work()
    background.start(coroutine, low_priority=True)
    await background.cancel()
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    del coroutine
    assert [str(warning.message) for warning in recwarn] == []


async def test_an_agent_that_waits_for_a_person_is_found_among_other_ends() -> None:
    """Mutation tried: `blocked_agent` takes any exception; a pause is then taken for a question."""
    background = Background()
    need = QuestionAsked("which greeting?")

    async def paused() -> None:
        raise PauseRequested

    async def forever() -> None:
        await asyncio.Event().wait()

    cancelled = background.start(forever())
    running = background.start(forever())
    background.start(paused())
    cancelled.cancel()
    await asyncio.wait({cancelled})
    assert background.blocked_agent() is None
    agent = background.start(blocked(need))
    await asyncio.wait({agent})
    signal = background.blocked_agent()
    assert signal is not None
    assert signal.need is need
    assert not running.done()
    await background.cancel()
