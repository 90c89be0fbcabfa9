"""Work of an agent is cancelled when a person asks for its attention, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from phasegate.agents.loop.interrupts import Interrupted, Interruptible
from phasegate.infra.errors import LedgerUnavailable, PermanentError


async def forever() -> None:
    await asyncio.Event().wait()


async def stubborn() -> str:
    """Comes to its end although it is cancelled."""
    with suppress(asyncio.CancelledError):
        await forever()
    return "done"


async def failing() -> None:
    """Fails when it is cancelled."""
    try:
        await forever()
    except asyncio.CancelledError:
        raise PermanentError("cut off in the middle") from None


async def rung_during(work: Awaitable[object], is_called: Callable[[], bool] = lambda: True) -> object:
    rung = asyncio.Event()
    attention = Interruptible(is_called)
    with attention.watch(rung):
        asyncio.get_running_loop().call_later(0.01, rung.set)
        async with asyncio.timeout(10):
            return await attention.run(work)


@pytest.mark.parametrize("work", [forever, stubborn, failing])
async def test_whoever_is_called_goes_on_from_there(work: Callable[[], Awaitable[object]]) -> None:
    """Mutation tried: no `uncancel`, which cancels what comes next."""
    with pytest.raises(Interrupted):
        await rung_during(work())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_ring_for_nothing_interrupts_nothing() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await rung_during(forever(), lambda: False)


async def test_what_fails_by_itself_fails() -> None:
    async def fails() -> None:
        raise PermanentError("by itself")

    with pytest.raises(PermanentError, match="by itself"):
        await rung_during(fails())


async def test_somebody_elses_cancelling_is_not_swallowed() -> None:
    """Mutation tried: every cancellation after a ring taken for the ring's."""
    begun = asyncio.Event()

    async def lingering() -> None:
        try:
            await forever()
        finally:
            begun.set()
            await asyncio.sleep(0.05)

    working = asyncio.create_task(rung_during(lingering()))
    await begun.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working


async def test_a_ledger_that_is_away_for_a_moment_leaves_nobody_deaf() -> None:
    """Mutation tried: the watcher ends with the error."""
    away = [LedgerUnavailable("away for a moment")]

    def is_called() -> bool:
        if away:
            raise away.pop()
        return True

    with pytest.raises(Interrupted):
        await rung_during(forever(), is_called)
