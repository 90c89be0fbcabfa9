"""The deploy target `process`: a service on this machine, its candidate beside it, the release before it kept.

Called by the deployment stage and by rollback. State goes to disk before and after every step that starts or stops
something, and what a `kill -9` of ours left unrecorded is found by its mark and stopped before the step is repeated.
How a release gets the service's traffic is either of `in_place` and `serving`.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from phasegate.infra.deploy.process.in_place import InPlace
from phasegate.infra.deploy.process.proxy.haproxy import find as find_haproxy
from phasegate.infra.deploy.process.proxy.proxy import ProxyServer
from phasegate.infra.deploy.process.proxy.serving import ProxiedServing
from phasegate.infra.deploy.process.releases import Releases
from phasegate.infra.deploy.process.services import GRACE, require_port, state_of, stop_service
from phasegate.infra.deploy.service_folder import ReleaseRecord, Running, ServiceFolder, ServiceState
from phasegate.infra.deploy.sources import Sources, nothing
from phasegate.infra.deploy.target import Candidate, Preview, Release, TargetState, Weight, require_replaceable
from phasegate.infra.errors import DeployFailed
from phasegate.infra.policy.deploy import DeployPolicy
from phasegate.infra.system import ports


class Serving(Protocol):
    """Port to the traffic of one service's releases. The service's lock is held, and the state is as on disk."""

    def check_prerequisites(self) -> None:
        """Stop unless this machine has what it takes.

        Raises:
            TargetRefused: Something is missing.
        """
        ...

    async def start_candidate(self, state: ServiceState, release_id: str) -> Running:
        """Start a release beside the current one, with no traffic; none of its id runs."""
        ...

    async def set_weight(self, state: ServiceState, release_id: str, percent: int) -> Weight:
        """As `DeployTarget.set_weight`."""
        ...

    async def serves(self, state: ServiceState, release_id: str) -> bool:
        """True if a release is current, healthy, and gets all traffic."""
        ...

    async def replace(self, state: ServiceState, release_id: str, port: int) -> None:
        """Make a release current on a port; if it does not come up, the former one is again."""
        ...

    async def restore(self, state: ServiceState, release_id: str, port: int) -> None:
        """Make a release that was current before current again, on a port."""
        ...

    async def stop_candidate(self, state: ServiceState, release_id: str) -> None:
        """Stop a candidate; what traffic it has goes to the current release first."""
        ...


class ProcessTarget:
    """Target of one service that runs as a process of this machine; satisfies `DeployTarget`."""

    def __init__(
        self,
        policy: DeployPolicy,
        *,
        service: str,
        state_folder: Path,
        checkout: Callable[[str, Path], None],
        environment: Mapping[str, str],
        prepare: Callable[[Path], Awaitable[None]] = nothing,
        needed: Callable[[], Collection[str]] = frozenset,
        grace: timedelta = GRACE,
    ) -> None:
        """Name the service and how its releases are made.

        Args:
            policy: `[deploy]` for releases made from now on; earlier ones keep theirs.
            service: The service's folder name, unique to its repository.
            state_folder: Phasegate's state; the service lives in `services/<service>` below it.
            checkout: Writes a commit's files into a folder that does not exist yet; run in a thread.
            environment: Where PATH, HOME, LANG and the names of `deploy.environment` are taken from.
            prepare: Sets a fresh checkout up (`project.setup`), once, before it is started.
            needed: The releases that a run could still go back to; their files are never removed.
            grace: What a process is given between SIGTERM and SIGKILL.

        Raises:
            ValueError: The service's name could leave its folder.
        """
        self._policy = policy
        self._folder = ServiceFolder(state_folder, service)
        self._state_folder = state_folder
        self._environment = environment
        self._sources = Sources(self._folder, checkout, prepare)
        self._needed = needed
        self._grace = grace
        self._releases = Releases(self._folder, self._sources, environment=environment, grace=grace)
        self._serving: Serving = (
            ProxiedServing(self._releases, ProxyServer(self._folder, policy, environment=environment, grace=grace))
            if policy.strategy == "canary"
            else InPlace(self._releases)
        )

    def preflight(self, commit: str) -> None:
        """As `DeployTarget.preflight`: a canary needs its proxy, and the service its port."""
        if self._policy.strategy == "canary":
            find_haproxy(self._environment.get("PATH", os.defpath))
        if self._policy.port:
            require_port(self._state_folder, self._folder.service, self._policy.port)

    async def status(self) -> TargetState:
        """As `DeployTarget.status`."""
        return state_of(self._folder)

    async def preview(self, commit: str) -> Preview:
        """As `DeployTarget.preview`: one process takes the place of another, and there is no more to show."""
        return Preview()

    async def start_candidate(self, release_id: str, commit: str, *, taking: Collection[str] = ()) -> Candidate:
        """As `DeployTarget.start_candidate`.

        Raises:
            DeployFailed: Also when the id was given to another commit before.
        """
        self._serving.check_prerequisites()
        async with self._folder.lock():
            state = self._folder.read()
            record = state.releases.setdefault(release_id, ReleaseRecord(commit=commit, deploy=self._policy))
            if record.commit != commit:
                raise DeployFailed(f"Release {release_id} is of commit {record.commit}, not {commit}.")
            behind = state.serving if state.front and state.current == release_id else None
            running = state.candidates.get(release_id) or behind
            if running is None or not (await self._releases.health(record, running)).ok:
                await self._serving.stop_candidate(state, release_id)
                await self._sources.ensure(release_id, commit)
                running = await self._serving.start_candidate(state, release_id)
            return Candidate(
                release_id=release_id,
                commit=commit,
                url=f"http://{ports.HOST}:{running.port}",
                port=running.port,
                checks=record.checks,
            )

    async def set_weight(self, release_id: str, percent: int) -> Weight:
        """As `DeployTarget.set_weight`."""
        async with self._folder.lock():
            return await self._serving.set_weight(self._folder.read(), release_id, percent)

    async def cut_over(self, release_id: str, *, over: Collection[str | None] = ()) -> Release:
        """As `DeployTarget.cut_over`."""
        async with self._folder.lock():
            state = self._folder.read()
            record = state.release(release_id)
            require_replaceable(self._folder.service, release_id, state.current, over)
            if not await self._serving.serves(state, release_id):
                await self._serving.replace(state, release_id, self._port(state))
            await self._serving.stop_candidate(state, release_id)
            await self._releases.prune(state, self._policy.keep_releases, self._needed())
            port = record.port or 0
            return Release(
                target="process",
                service=self._folder.service,
                commit=record.commit,
                release_id=release_id,
                url=f"http://{state.host}:{port}",
                port=port,
                previous=record.previous,
                checks=record.checks,
            )

    async def stop_candidate(self, release_id: str) -> None:
        """As `DeployTarget.stop_candidate`; the checkout of one that never served goes with it, its log stays."""
        async with self._folder.lock():
            state = self._folder.read()
            await self._serving.stop_candidate(state, release_id)
            record = state.releases.get(release_id)
            if record is None or record.port is None:
                await self._sources.drop(release_id)

    async def restore(self, release_id: str | None) -> TargetState:
        """As `DeployTarget.restore`."""
        async with self._folder.lock():
            state = self._folder.read()
            if release_id is None:
                await self._releases.end_service(state)
                state.current = None
                self._folder.write(state)
            elif not await self._serving.serves(state, release_id):
                port = state.release(release_id).port or self._port(state)
                await self._serving.restore(state, release_id, port)
            return state_of(self._folder)

    async def log(self, release_id: str, *, characters: int) -> str:
        """As `DeployTarget.log`: what its processes wrote."""
        return self._folder.log_text(release_id, characters=characters)

    async def stop(self) -> None:
        """As `DeployTarget.stop`."""
        await stop_service(self._state_folder, self._folder.service, grace=self._grace)

    def _port(self, state: ServiceState) -> int:
        return self._policy.port or state.port or ports.stable_port()
