"""Work beside the loop: the loop goes on, results and errors come back, and cancelling ends the work."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time

import pytest

from phasegate.infra.system.threads import in_own_loop, uninterrupted

PERSON = contextvars.ContextVar[str]("person")


async def test_a_coroutine_that_blocks_does_not_hold_up_the_loop() -> None:
    """Mutation tried: the coroutine awaited in the caller's loop."""
    beats = 0

    async def blocking() -> str:
        time.sleep(0.5)  # noqa: ASYNC251 - the point
        return PERSON.get()

    PERSON.set("ana")
    work = asyncio.ensure_future(in_own_loop(blocking))
    while not work.done():
        await asyncio.sleep(0.01)
        beats += 1
    assert work.result() == "ana"
    assert beats >= 5


async def test_an_error_comes_back_as_it_is() -> None:
    error = LookupError("nothing there")

    async def failing() -> None:
        raise error

    with pytest.raises(LookupError) as caught:
        await in_own_loop(failing)
    assert caught.value is error


async def test_cancelling_cancels_the_coroutine_and_waits_for_its_end() -> None:
    """Mutation tried: without waiting for the thread."""
    began, ended = threading.Event(), threading.Event()

    async def long_work() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)
            ended.set()

    work = asyncio.ensure_future(in_own_loop(long_work))
    await asyncio.to_thread(began.wait)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert ended.is_set()


async def test_many_long_coroutines_leave_the_pool_of_threads_alone() -> None:
    """Mutation tried: `asyncio.to_thread` instead of a thread of its own."""
    release = threading.Event()

    async def waiting() -> None:
        while not release.is_set():  # noqa: ASYNC110 - of another loop
            await asyncio.sleep(0.01)

    works = [asyncio.ensure_future(in_own_loop(waiting)) for _ in range(40)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), timeout=20) == "free"
    release.set()
    await asyncio.gather(*works)


async def test_what_was_begun_is_done_though_the_caller_was_cancelled() -> None:
    began, done = threading.Event(), threading.Event()

    def write() -> None:
        began.set()
        time.sleep(0.2)
        done.set()

    work = asyncio.ensure_future(uninterrupted(write))
    await asyncio.to_thread(began.wait)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert done.is_set()
