"""Background coroutines of one pass over the pipeline: started by stages and gates, cancelled when the pass ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from phasegate.flows.lifecycle.signals import InputRequired

_HEAD_START_SECONDS = 0.05
"""From a decision to the next stage's first model call, and a little more."""

Result = TypeVar("Result")


class Background:
    """Background coroutines of a pass."""

    def __init__(self) -> None:
        """Begin with none."""
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self, work: Coroutine[Any, Any, Result], *, low_priority: bool = False) -> asyncio.Task[Result]:
        """Start a background coroutine; it is cancelled when the pipeline exits.

        Args:
            work: The coroutine.
            low_priority: True if the pipeline goes first: both share a thread, and a person may wait for the pipeline.
        """
        task = asyncio.create_task(_after_head_start(work) if low_priority else work)
        task.add_done_callback(lambda _: work.close())  # it may have been cancelled before it began
        self.include(task)
        return task

    def include(self, task: asyncio.Task[Any]) -> None:
        """Cancel a task with the others, although another object started it."""
        self._tasks.append(task)

    async def cancel(self) -> None:
        """Cancel the background coroutines that still run."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def blocked_agent(self) -> InputRequired | None:
        """Signal of a background agent that waits for a person, or None. The person is asked at once."""
        ended = (task for task in self._tasks if task.done() and not task.cancelled())
        return next((why for task in ended if isinstance(why := task.exception(), InputRequired)), None)


async def _after_head_start(work: Coroutine[Any, Any, Result]) -> Result:
    await asyncio.sleep(_HEAD_START_SECONDS)
    return await work
