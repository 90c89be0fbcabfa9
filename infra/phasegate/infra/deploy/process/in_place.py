"""Serving with no proxy: one process has the service's port, and another takes its place. See decision 5.

Used by the `process` target.
"""

from __future__ import annotations

from phasegate.infra.deploy.process.releases import Releases
from phasegate.infra.deploy.service_folder import Running, ServiceState
from phasegate.infra.deploy.target import Weight, no_weight
from phasegate.infra.errors import DeployFailed, PortTaken
from phasegate.infra.system import ports
from phasegate.infra.system.processes import find_by_mark


class InPlace:
    """Service whose releases take turns on its port; satisfies `Serving`."""

    def __init__(self, releases: Releases) -> None:
        """Name the service."""
        self._releases = releases

    def check_prerequisites(self) -> None:
        """It needs nothing."""

    async def start_candidate(self, state: ServiceState, release_id: str) -> Running:
        """As `Serving.start_candidate`."""
        return await self._releases.start(state, release_id, "candidate", ports.ephemeral_port())

    async def set_weight(self, state: ServiceState, release_id: str, percent: int) -> Weight:
        """As `Serving.set_weight`: one process has the service's port, and no other is asked."""
        raise no_weight(
            "process",
            'Set `[deploy] strategy = "canary"`, which puts a proxy before the releases, or take the `set_weight` '
            "steps out of `[deploy]`.",
        )

    async def serves(self, state: ServiceState, release_id: str) -> bool:
        """As `Serving.serves`."""
        serving = state.serving
        if state.front or state.current != release_id or serving is None or serving.release_id != release_id:
            return False
        return (await self._releases.health(state.release(release_id), serving)).ok

    async def replace(self, state: ServiceState, release_id: str, port: int) -> None:
        """As `Serving.replace`."""
        former, record = state.current, state.release(release_id)
        previous = record.previous if former == release_id else former
        await self._take_turns(state, release_id, port, previous)
        await self._releases.end_candidate(state, release_id)

    async def restore(self, state: ServiceState, release_id: str, port: int) -> None:
        """As `Serving.restore`; if it does not come up, the former release is current again."""
        await self._take_turns(state, release_id, port, state.release(release_id).previous)

    async def _take_turns(self, state: ServiceState, release_id: str, port: int, previous: str | None) -> None:
        """Stop what serves and serve this release; if it does not come up, what served serves again."""
        former = state.current
        await self._make_room(state, release_id, port)
        try:
            await self._serve(state, release_id, port, previous)
        except (DeployFailed, PortTaken) as failure:
            if former is None or former == release_id:
                raise
            before = state.release(former)
            try:
                await self._serve(state, former, before.port or port, before.previous)
            except (DeployFailed, PortTaken) as second:
                raise DeployFailed(
                    f"{failure.message}\nAnd what served before did not come back: {second.message}",
                    remedy="Nothing serves now. Look at both logs, then start a run that repairs it.",
                    **failure.context,
                ) from second
            failure.context["restored"] = former
            raise

    async def stop_candidate(self, state: ServiceState, release_id: str) -> None:
        """As `Serving.stop_candidate`."""
        await self._releases.end_candidate(state, release_id)

    async def _make_room(self, state: ServiceState, release_id: str, port: int) -> None:
        """Stop what serves, once all is seen to that can fail before: a taken port or a checkout may cost no outage."""
        folder = self._releases.folder
        ours = {process.pid for role in ("service", "front") for process in find_by_mark(folder.mark(role))}
        ports.require_free(port, but_for=ours)
        await self._releases.sources.ensure(release_id, state.release(release_id).commit)
        await self._releases.end_service(state)

    async def _serve(self, state: ServiceState, release_id: str, port: int, previous: str | None) -> None:
        """Start a release in the service's place; it is current, with what it came after, once it is healthy."""
        ports.require_free(port)
        await self._releases.start(state, release_id, "service", port)
        record = state.release(release_id)
        record.port, record.previous = port, previous
        state.port, state.current = port, release_id
        self._releases.folder.write(state)
