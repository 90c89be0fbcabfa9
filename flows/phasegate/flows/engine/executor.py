"""Executor of a run: the port through which the lifecycle runs stages and waits, and an executor without Prefect.

Everything the lifecycle asks of Prefect while a run is under way goes through its executor: running a stage as a task
or a rollback as a flow of its own, publishing artifacts, waiting for a person. None of it decides anything, so the
lifecycle runs the same in one process without Prefect.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from phasegate.flows.engine.wakeups import Decided, WakeupRegistry, await_decision
from phasegate.infra.settings import Settings

Result = TypeVar("Result")


@dataclass(frozen=True)
class ForcedState:
    """A state that phasegate did not ask for: Prefect's id and name of it."""

    id: UUID
    name: str


class Executor(Protocol):
    """Port to what executes a run: Prefect, or a plain asyncio process."""

    @property
    def wakeups(self) -> WakeupRegistry:
        """Registry through which what waits for a run in this process is woken."""
        ...

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

    async def forced_states(self, opened: datetime, answered: datetime | None) -> Sequence[ForcedState]:
        """The states that others forced on the run's flow while a gate was open, as far as they are known.

        Args:
            opened: The time at which the gate opened.
            answered: The time at which it was decided; None while it is open.
        """
        ...


@dataclass(eq=False)
class InProcessExecutor:
    """Executes a run as coroutines of this process, and shows it to nobody.

    Attributes:
        wakeups: A registry of its own, which no engine notifies.
    """

    wakeups: WakeupRegistry = field(init=False, default_factory=WakeupRegistry)

    async def run_stage(self, name: str, number: int, work: Callable[[], Awaitable[Result]]) -> Result:
        """Run the work."""
        return await work()

    async def run_subflow(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work."""
        await work()

    async def publish_artifact(self, key: str, *, markdown: str, description: str) -> None:
        """Publish nothing: the ledger has the artifact."""

    async def wait_until(
        self, key: str, *, run_id: str, decided: Decided, settings: Settings, in_process: bool = False
    ) -> None:
        """Wait in this process, for as long as it takes."""
        with self.wakeups.subscribe(run_id) as signal:
            await await_decision(decided, signal, seconds=math.inf)

    async def forced_states(self, opened: datetime, answered: datetime | None) -> Sequence[ForcedState]:
        """No states: no other program can force one here."""
        return ()
