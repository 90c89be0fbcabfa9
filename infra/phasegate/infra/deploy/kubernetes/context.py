"""Context of one change of a service, under its lock. Made by the target, passed to its parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from phasegate.infra.deploy.kubernetes.api.manifests import Manifest
from phasegate.infra.deploy.kubernetes.apply import Applier
from phasegate.infra.deploy.kubernetes.records import Record, Records, State


@dataclass
class ChangeContext:
    """Context of a change under way.

    Attributes:
        state: The service's, as of now; written by `records`.
        records: What is remembered.
        applier: Applies objects and waits for them.
        keep_log: Keeps what the pods of a release wrote, by its manifests, before they go.
    """

    state: State
    records: Records
    applier: Applier
    keep_log: Callable[[Record, Sequence[Manifest]], Awaitable[None]]

    async def serving(self) -> Record | None:
        """The current release, or `None` if there is none."""
        return await self.records.record(self.state.current) if self.state.current else None
