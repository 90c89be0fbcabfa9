"""The deploy target `process`: a service on this machine, its candidate beside it, the release before it kept.

Called by the deployment stage and by rollback. State goes to disk before and after every step that starts or stops
something, and what a `kill -9` of ours left unrecorded is found by its mark and stopped before the step is repeated.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

from phasegate.infra.deploy import ports
from phasegate.infra.deploy.health import wait_until_healthy
from phasegate.infra.deploy.processes import ending, marked, start, stop_all
from phasegate.infra.deploy.service_folder import ReleaseRecord, Running, ServiceFolder, ServiceState
from phasegate.infra.deploy.services import GRACE, state_of, stop_service
from phasegate.infra.deploy.sources import Sources, nothing
from phasegate.infra.deploy.target import (
    Candidate,
    Check,
    Preview,
    Release,
    TargetState,
    Weight,
    no_weight,
    require_replaceable,
)
from phasegate.infra.errors import DeployFailed, PortTaken
from phasegate.infra.policy.model import DeployPolicy

_ALWAYS_HANDED_ON = ("HOME", "LANG")
_LOG_LINES = 20
_LOG_BYTES = 4000


class ProcessTarget:
    """One service run as a process of this machine; satisfies `DeployTarget`."""

    def __init__(
        self,
        policy: DeployPolicy,
        *,
        service: str,
        state_folder: Path,
        checkout: Callable[[str, Path], None],
        environment: Mapping[str, str],
        prepare: Callable[[Path], Awaitable[None]] = nothing,
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
            grace: What a process is given between SIGTERM and SIGKILL.

        Raises:
            ValueError: The service's name could lead elsewhere.
        """
        self._policy = policy
        self._folder = ServiceFolder(state_folder, service)
        self._state_folder = state_folder
        self._sources = Sources(self._folder, checkout, prepare)
        self._environment = environment
        self._grace = grace

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
        async with self._folder.lock():
            state = self._folder.read()
            record = state.releases.setdefault(release_id, ReleaseRecord(commit=commit, deploy=self._policy))
            if record.commit != commit:
                raise DeployFailed(f"Release {release_id} is of commit {record.commit}, not {commit}.")
            running = state.candidates.get(release_id)
            if running is None or not (await self._health(record, running)).ok:
                await self._end_candidate(state, release_id)
                await self._sources.ensure(release_id, commit)
                running = await self._start(state, release_id, "candidate", ports.passing_port())
            return Candidate(
                release_id=release_id,
                commit=commit,
                url=f"http://{ports.HOST}:{running.port}",
                port=running.port,
                checks=record.checks,
            )

    async def set_weight(self, release_id: str, percent: int) -> Weight:
        """As `DeployTarget.set_weight`: one process has the service's port, and no other is asked."""
        raise no_weight("process", "Take the `set_weight` steps out of `[deploy]`.")

    async def cut_over(self, release_id: str, *, over: Collection[str | None] = ()) -> Release:
        """As `DeployTarget.cut_over`."""
        async with self._folder.lock():
            state = self._folder.read()
            record = state.release(release_id)
            require_replaceable(self._folder.service, release_id, state.current, over)
            if not await self._serves(state, release_id):
                await self._replace_current(state, release_id)
            await self._end_candidate(state, release_id)
            port = record.port or 0
            return Release(
                target="process",
                service=self._folder.service,
                commit=record.commit,
                release_id=release_id,
                url=f"http://{ports.HOST}:{port}",
                port=port,
                previous=record.previous,
                checks=record.checks,
            )

    async def stop_candidate(self, release_id: str) -> None:
        """As `DeployTarget.stop_candidate`; the checkout of one that never served goes with it, its log stays."""
        async with self._folder.lock():
            state = self._folder.read()
            await self._end_candidate(state, release_id)
            record = state.releases.get(release_id)
            if record is None or record.port is None:
                await self._sources.drop(release_id)

    async def restore(self, release_id: str | None) -> TargetState:
        """As `DeployTarget.restore`."""
        async with self._folder.lock():
            state = self._folder.read()
            if release_id is None:
                await self._end_service(state)
                state.current = None
                self._folder.write(state)
            elif not await self._serves(state, release_id):
                record = state.release(release_id)
                port = record.port or self._port(state)
                await self._make_room(state, release_id, port)
                await self._serve(state, release_id, port, record.previous)
            return state_of(self._folder)

    async def stop(self) -> None:
        """As `DeployTarget.stop`."""
        await stop_service(self._state_folder, self._folder.service, grace=self._grace)

    async def _replace_current(self, state: ServiceState, release_id: str) -> None:
        """Stop what serves and serve this release; if it does not come up, what served serves again."""
        former, port, record = state.current, self._port(state), state.release(release_id)
        await self._make_room(state, release_id, port)
        try:
            await self._serve(state, release_id, port, record.previous if former == release_id else former)
        except (DeployFailed, PortTaken) as failure:
            if former is None or former == release_id:
                raise
            before = state.release(former)
            try:
                await self._serve(state, former, before.port or port, before.previous)
            except (DeployFailed, PortTaken) as second:
                raise DeployFailed(
                    f"{failure.message}\nAnd the release before it did not come back: {second.message}",
                    remedy="Nothing serves now. Look at both logs, then start a run that repairs it.",
                    **failure.context,
                ) from second
            failure.context["restored"] = former
            raise

    async def _make_room(self, state: ServiceState, release_id: str, port: int) -> None:
        """Stop what serves, once all is seen to that can fail before: a taken port or a checkout may cost no outage."""
        ports.require_free(port, but_for={process.pid for process in marked(self._folder.mark("service"))})
        await self._sources.ensure(release_id, state.release(release_id).commit)
        await self._end_service(state)

    async def _serve(self, state: ServiceState, release_id: str, port: int, previous: str | None) -> None:
        """Start a release in the service's place; it is current, with what it came after, once it is healthy."""
        ports.require_free(port)
        await self._start(state, release_id, "service", port)
        record = state.release(release_id)
        record.port, record.previous = port, previous
        state.port, state.current = port, release_id
        self._folder.write(state)

    async def _start(
        self, state: ServiceState, release_id: str, role: Literal["service", "candidate"], port: int
    ) -> Running:
        """Start a release's process and wait for its health; whatever does not come up is stopped again."""
        record, home = state.release(release_id), self._folder.release(release_id)
        log = home / "log"
        seen = log.stat().st_size if log.exists() else 0
        process = start(
            record.deploy.start.replace("{port}", str(port)),
            folder=home / "source",
            log=log,
            environment=self._environment_of(record.deploy, port),
            mark=self._folder.mark(role, release_id),
        )
        running = Running(release_id=release_id, port=port, process=process)
        if role == "service":
            state.serving = running
        else:
            state.candidates[release_id] = running
        self._folder.write(state)
        check = await self._health(record, running)
        if not check.ok:
            await (self._end_service(state) if role == "service" else self._end_candidate(state, release_id))
            raise _did_not_come_up(self._folder.service, release_id, role, check, log, seen)
        record.checks = (
            *(one for one in record.checks if one.name != role),
            Check(name=role, ok=True, detail=check.detail),
        )
        self._folder.write(state)
        return running

    async def _health(self, record: ReleaseRecord, running: Running) -> Check:
        url = f"http://{ports.HOST}:{running.port}{record.deploy.health}"
        return await wait_until_healthy(url, record.deploy.start_timeout, lambda: ending(running.process))

    async def _serves(self, state: ServiceState, release_id: str) -> bool:
        serving = state.serving
        if state.current != release_id or serving is None or serving.release_id != release_id:
            return False
        return (await self._health(state.release(release_id), serving)).ok

    async def _end_service(self, state: ServiceState) -> None:
        known = [state.serving.process] if state.serving else []
        await stop_all(self._folder.mark("service"), known, grace=self._grace)
        state.serving = None
        self._folder.write(state)

    async def _end_candidate(self, state: ServiceState, release_id: str) -> None:
        running = state.candidates.pop(release_id, None)
        known = [running.process] if running else []
        await stop_all(self._folder.mark("candidate", release_id), known, grace=self._grace)
        if running:
            self._folder.write(state)

    def _port(self, state: ServiceState) -> int:
        return self._policy.port or state.port or ports.lasting_port()

    def _environment_of(self, deploy: DeployPolicy, port: int) -> dict[str, str]:
        names = (*_ALWAYS_HANDED_ON, *deploy.environment)
        handed_on = {name: self._environment[name] for name in names if name in self._environment}
        path = self._environment.get("PATH", os.defpath)
        # ours comes last: a release finds Python even where nothing else provides it, and its own first where it does
        return {**handed_on, "PATH": f"{path}{os.pathsep}{Path(sys.executable).parent}", "PORT": str(port)}


def _did_not_come_up(service: str, release_id: str, role: str, check: Check, log: Path, seen: int) -> DeployFailed:
    with log.open("rb") as file:
        file.seek(max(seen, log.stat().st_size - _LOG_BYTES))
        tail = file.read().decode(errors="replace").splitlines()[-_LOG_LINES:]
    said = "\n".join(["Its log ends:", *(f"  {line}" for line in tail)]) if tail else "It wrote no log."
    return DeployFailed(
        f"Release {release_id} of {service} did not come up as {role}: {check.detail}.\n{said}",
        remedy=f"Look at {log}; `[deploy]` in phasegate.toml says how a release is started and when it is healthy.",
        release_id=release_id,
        log=log,
    )
