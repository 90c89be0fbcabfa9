"""The processes of one service's releases: started as their record says, called healthy, and ended.

Used by both ways of serving, in place and behind the proxy. State goes to disk before and after every step that starts
or stops something.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal, cast

from phasegate.infra.deploy.health import wait_until_healthy
from phasegate.infra.deploy.process.supervisor.client import confirm_healthy, processes_of, start_supervised, why_dead
from phasegate.infra.deploy.process.supervisor.supervisor import SupervisorSpec
from phasegate.infra.deploy.service_folder import ReleaseRecord, Role, Running, ServiceFolder, ServiceState
from phasegate.infra.deploy.sources import Sources
from phasegate.infra.deploy.target import Check
from phasegate.infra.errors import DeployFailed
from phasegate.infra.policy.deploy import DeployPolicy
from phasegate.infra.system import ports
from phasegate.infra.system.processes import ProcessId, stop_all
from phasegate.infra.system.trees import remove_tree

_ALWAYS_INHERITED = ("HOME", "LANG")
NO_LOG = "It wrote no log."
_LOG_LINES = 20
_LOG_BYTES = 4000
_Role = Literal["service", "candidate", "release"]


class Releases:
    """Processes of one service's releases, and the files that they run from."""

    def __init__(
        self, folder: ServiceFolder, sources: Sources, *, environment: Mapping[str, str], grace: timedelta
    ) -> None:
        """Name the service.

        Args:
            folder: Its folder.
            sources: Where the checkouts of its releases come from.
            environment: Where PATH, HOME, LANG and the names of `deploy.environment` are taken from.
            grace: What a process is given between SIGTERM and SIGKILL.
        """
        self.folder = folder
        self.sources = sources
        self._environment = environment
        self._grace = grace

    async def start(self, state: ServiceState, release_id: str, role: _Role, port: int) -> Running:
        """Start a release's process and wait for its health; whatever does not come up is stopped again.

        Raises:
            DeployFailed: It did not come up.

        Effects:
            Stands in the state as what serves with role `service`, else among the candidates.
        """
        record, home = state.release(release_id), self.folder.release(release_id)
        home.mkdir(parents=True, exist_ok=True)
        log, report = home / "log", home / f"{role}.json"
        offset = log.stat().st_size if log.exists() else 0
        report.unlink(missing_ok=True)  # of a process that was stopped
        where = str(report.relative_to(self.folder.path))
        process = start_release(self.folder, record.deploy, release_id, port, where, environment=self._environment)
        running = Running(release_id=release_id, port=port, process=process, report=where)
        if role == "service":
            state.serving = running
        else:
            state.candidates[release_id] = running
        self.folder.write(state)
        check = await self.health(record, running)
        if not check.ok:
            await (self.end_service(state) if role == "service" else self.end_candidate(state, release_id))
            raise self._did_not_come_up(release_id, role, check, log, offset)
        self.record_check(state, release_id, Check(name=role, ok=True, detail=check.detail))
        return running

    async def health(self, record: ReleaseRecord, running: Running) -> Check:
        """Wait until a process answers; one that does is started again from now on when it dies."""
        url = f"http://{ports.HOST}:{running.port}{record.deploy.health}"
        check = await wait_until_healthy(url, record.deploy.start_timeout, lambda: why_dead(self.folder.path, running))
        if check.ok:
            confirm_healthy(running)
        return check

    def record_check(self, state: ServiceState, release_id: str, check: Check) -> None:
        """Write a check down with its release, in the place of an earlier one of its name."""
        record = state.release(release_id)
        record.checks = (*(earlier for earlier in record.checks if earlier.name != check.name), check)
        self.folder.write(state)

    async def end_service(self, state: ServiceState) -> None:
        """Stop what serves, whether on the service's own port or behind a proxy, and the proxy with it."""
        await self.end("service", None, state.serving)
        for running in (state.serving, *state.leaving.values()):
            if running:
                await self.end("release", running.release_id, running)
        await self.end("front", None, state.front)
        state.serving = state.front = None
        state.leaving, state.weights = {}, {}
        self.folder.write(state)

    async def end_candidate(self, state: ServiceState, release_id: str) -> None:
        """Stop a candidate, and whatever a crash left of one."""
        running = state.candidates.pop(release_id, None)
        await self.end("candidate", release_id, running)
        if state.serving is None or state.serving.release_id != release_id:
            await self.end("release", release_id, running)
        if running:
            self.folder.write(state)

    async def end(self, role: Role, release_id: str | None, running: Running | None) -> None:
        """Stop processes of a role, with their supervisors and all they started."""
        processes = processes_of(self.folder.path, running)
        await stop_all(self.folder.mark(role, release_id), processes, grace=self._grace)

    async def prune(self, state: ServiceState, keep: int, needed: Collection[str]) -> None:
        """Remove the files of old releases; one that has to serve all the same is checked out again.

        Args:
            state: As it is.
            keep: Of so many releases, the newest, the files stay.
            needed: And of these.
        """
        serves = [state.current, state.release(state.current).previous] if state.current else []
        stays = {*list(state.releases)[-keep:], *serves, *(running.release_id for running in state.running()), *needed}
        for release_id in set(state.releases) - stays:
            await self.sources.drop(release_id)
            with contextlib.suppress(FileNotFoundError):
                remove_tree(self.folder.release(release_id))

    def _did_not_come_up(self, release_id: str, role: str, check: Check, log: Path, offset: int) -> DeployFailed:
        end = end_of_log(log, offset)
        look = "" if end == NO_LOG else f"Look at {log}. "
        return DeployFailed(
            f"Release {release_id} of {self.folder.service} did not come up as {role}: {check.detail}.\n{end}",
            remedy=f"{look}`[deploy]` in phasegate.toml says how a release is started and when it is healthy.",
            release_id=release_id,
            log=log,
        )


def start_release(
    folder: ServiceFolder,
    deploy: DeployPolicy,
    release_id: str,
    port: int,
    report: str,
    *,
    environment: Mapping[str, str],
) -> ProcessId:
    """Start a supervisor for a release's process.

    Args:
        folder: The service's.
        deploy: `[deploy]` as it was when the release was made.
        release_id: The release.
        port: Where it has to listen.
        report: `releases/<id>/<role>.json`; a report there of what was kept before is taken up.
        environment: Where PATH, HOME, LANG and the names of `deploy.environment` are taken from.

    Returns:
        The supervisor.
    """
    home = folder.release(release_id)
    spec = SupervisorSpec(
        command=deploy.start.replace("{port}", str(port)),
        folder=str(home / "source"),
        log=str(home / "log"),
        report=str(folder.path / report),
        log_bytes=deploy.log_size,
        restarts=deploy.restarts,
        **deploy.limits.model_dump(),
    )
    role = cast("Role", Path(report).stem)
    return start_supervised(
        spec, environment=_inherited_environment(environment, deploy, port), mark=folder.mark(role, release_id)
    )


def _inherited_environment(environment: Mapping[str, str], deploy: DeployPolicy, port: int) -> dict[str, str]:
    names = (*_ALWAYS_INHERITED, *deploy.environment)
    handed_on = {name: environment[name] for name in names if name in environment}
    path = environment.get("PATH", os.defpath)
    # ours comes last: a release finds Python even where nothing else provides it, and its own first where it does
    return {**handed_on, "PATH": f"{path}{os.pathsep}{Path(sys.executable).parent}", "PORT": str(port)}


def end_of_log(log: Path, offset: int = 0) -> str:
    """End of a log, for an error's message.

    Args:
        log: The file.
        offset: Bytes that were there before.
    """
    with log.open("rb") as file:
        size = log.stat().st_size
        file.seek(max(offset if offset <= size else 0, size - _LOG_BYTES))
        tail = file.read().decode(errors="replace").splitlines()[-_LOG_LINES:]
    return "\n".join(["Its log ends:", *(f"  {line}" for line in tail)]) if tail else NO_LOG
