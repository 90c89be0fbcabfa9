"""The proxy before a service's releases: HAProxy on the service's own port, kept running like any of them.

Used by `serving`, and by the listing of services to read shares. What it should do stands in the service's state
before it is told; what it does is read back from it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from phasegate.infra.deploy.process.proxy.haproxy import CONFIGURATION, HaProxy, Server, find
from phasegate.infra.deploy.process.releases import end_of_log
from phasegate.infra.deploy.process.supervisor.client import (
    confirm_healthy,
    processes_of,
    start_supervised,
    status_of,
    why_dead,
)
from phasegate.infra.deploy.process.supervisor.supervisor import SupervisorSpec
from phasegate.infra.deploy.service_folder import Running, ServiceFolder, ServiceState
from phasegate.infra.errors import DeployFailed, TargetUnavailable
from phasegate.infra.policy.deploy import DeployPolicy
from phasegate.infra.system import ports
from phasegate.infra.system.processes import ProcessId, stop_all

_FOLDER = "front"
_REPORT = f"{_FOLDER}/keeper.json"
_POLL = timedelta(milliseconds=20)
_PATIENCE = timedelta(seconds=15)
_FORGET = timedelta(seconds=2)
_RESTARTS = 1000
"""In a row, with half a minute between the later ones: nothing else listens on the service's port."""
_LOG_BYTES = 4 * 1024**2


class ProxyServer:
    """Proxy of a service."""

    def __init__(
        self, folder: ServiceFolder, policy: DeployPolicy, *, environment: Mapping[str, str], grace: timedelta
    ) -> None:
        """Name the service; nothing is looked for yet."""
        self._folder = folder
        self._policy = policy
        self._path = environment.get("PATH", os.defpath)
        self._grace = grace
        self._haproxy = HaProxy(folder.path / _FOLDER, ports.HOST)

    def check_prerequisites(self) -> None:
        """Stop unless HAProxy is there.

        Raises:
            TargetRefused: It is not installed.
        """
        find(self._path)

    def stands(self, state: ServiceState, port: int) -> bool:
        """True if the proxy listens where policy wants it, and answers."""
        front = state.front
        if front is None or not self._haproxy.listens_on(f"{self._policy.listen}:{port}"):
            return False
        with suppress(TargetUnavailable):
            self._haproxy.servers()
            return status_of(self._folder.path, front).alive
        return False

    async def stand(self, state: ServiceState, port: int) -> None:
        """Start the proxy on the service's port, with the weights of the state.

        Raises:
            DeployFailed: It did not come up.
            PortTaken: Another process listens there.
            TargetRefused: HAProxy is not installed.

        Effects:
            A running proxy, in the state; one that listens there already is left alone.
        """
        if self.stands(state, port):
            return
        self.check_prerequisites()
        await self.end(state)
        ports.require_free(port)
        self._haproxy.configure(f"{self._policy.listen}:{port}", self._servers(state))
        log = self._log
        offset = log.stat().st_size if log.exists() else 0
        (self._folder.path / _REPORT).unlink(missing_ok=True)  # of one that was stopped
        process = start_proxy(self._folder, path=self._path)
        front = state.front = Running(release_id=_FOLDER, port=port, process=process, report=_REPORT)
        state.port, state.host = port, _reached_at(self._policy.listen)
        self._folder.write(state)
        if not await self._comes_up(front):
            await self.end(state)
            raise DeployFailed(
                f"The proxy of {self._folder.service} did not come up on {self._policy.listen}:{port}.\n"
                f"{end_of_log(log, offset)}",
                remedy=f"Look at {log}; `[deploy] listen` and `port` in phasegate.toml say where it listens.",
                log=log,
            )
        confirm_healthy(front)

    async def shift(self, state: ServiceState, weights: Mapping[str, int]) -> None:
        """Give each release its share, and read back that it has it.

        Args:
            state: As it is; every release with a share has a process in it.
            weights: Release id to percent; who is not named gets nothing more, and finishes what it has.

        Raises:
            DeployFailed: A share did not come about.
            TargetUnavailable: The proxy does not answer.

        Effects:
            The weights in the state, in the proxy's configuration and in force, in this order.
        """
        before, state.weights = state.weights, dict(weights)
        self._folder.write(state)
        servers = self._servers(state)
        self._haproxy.configure(f"{self._policy.listen}:{state.port}", servers)
        # who gets more, first
        for server in sorted(servers, key=lambda server: before.get(server.name, 0) - server.weight):
            self._haproxy.put(server)
        for name in set(self._haproxy.servers()) - set(weights):
            self._haproxy.drain(name)
        expected = {name: float(weight) for name, weight in weights.items() if weight}
        if not await _until(lambda: self.shares() == expected, _PATIENCE):
            had = ", ".join(f"{name}: {share:g} %" for name, share in self.shares().items()) or "nothing gets any"
            raise DeployFailed(
                f"The proxy of {self._folder.service} does not share its traffic as it was told. It does: {had}.",
                remedy=f"A release that fails its health check gets nothing; look at its log, and at {self._log}.",
            )

    def shares(self) -> dict[str, float]:
        """Release id to the share in force, in percent, of those that have any.

        Raises:
            TargetUnavailable: The proxy does not answer.
        """
        weights = {name: status.weight for name, status in self._haproxy.servers().items() if status.weight}
        total = sum(weights.values())
        return {name: round(100 * weight / total, 1) for name, weight in weights.items()}

    async def drained(self, release_id: str) -> None:
        """Wait until a release that gets nothing more has finished what it had, or its time is over."""
        with suppress(TargetUnavailable):  # then it has nothing
            await _until(lambda: self._is_idle(release_id), self._policy.drain_timeout)

    async def forget(self, release_id: str) -> None:
        """Drop a release that has ended; one with a connection left is dropped at the proxy's next start."""
        with suppress(TargetUnavailable):
            await _until(lambda: self._haproxy.drop(release_id), _FORGET)

    @property
    def _log(self) -> Path:
        return self._folder.path / _FOLDER / "log"

    def _is_idle(self, release_id: str) -> bool:
        status = self._haproxy.servers().get(release_id)
        return status is None or status.sessions == 0

    def _servers(self, state: ServiceState) -> list[Server]:
        return [
            Server(name, running.port, weight, state.release(name).deploy.health)
            for name, weight in state.weights.items()
            if (running := state.process_of(name))
        ]

    async def _comes_up(self, front: Running) -> bool:
        def answers() -> bool:
            with suppress(TargetUnavailable):
                self._haproxy.servers()
                return True
            return why_dead(self._folder.path, front) is not None

        return await _until(answers, _PATIENCE) and why_dead(self._folder.path, front) is None

    async def end(self, state: ServiceState) -> None:
        """Stop the proxy: no release gets traffic any more."""
        await stop_all(self._folder.mark("front"), processes_of(self._folder.path, state.front), grace=self._grace)
        state.front = None
        self._folder.write(state)


def start_proxy(folder: ServiceFolder, *, path: str) -> ProcessId:
    """Start a supervisor for a service's proxy, as it is configured.

    Args:
        folder: The service's.
        path: Where HAProxy is looked for, besides the system's folders.

    Returns:
        The supervisor.

    Raises:
        TargetRefused: It is not installed.
    """
    home = folder.path / _FOLDER
    spec = SupervisorSpec(
        command=f"exec {find(path)} -db -f {CONFIGURATION}",
        folder=str(home),
        log=str(home / "log"),
        report=str(folder.path / _REPORT),
        log_bytes=_LOG_BYTES,
        restarts=_RESTARTS,
    )
    return start_supervised(spec, environment={"PATH": path}, mark=folder.mark("front"))


def shares_of(folder: ServiceFolder, state: ServiceState) -> dict[str, float]:
    """Read shares as `ProxyServer.shares` does, or none if no proxy stands or answers."""
    if state.front is not None:
        with suppress(TargetUnavailable):
            return ProxyServer(folder, DeployPolicy(), environment={}, grace=timedelta(0)).shares()
    return {}


async def _until(holds: Callable[[], bool], patience: timedelta) -> bool:
    deadline = time.monotonic() + patience.total_seconds()
    while not holds():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL.total_seconds())
    return True


def _reached_at(listen: str) -> str:
    return ports.HOST if listen == "0.0.0.0" else listen  # noqa: S104 - policy's word for every address, not ours
