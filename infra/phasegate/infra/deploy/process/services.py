"""Services that phasegate runs on this machine: the listing behind `phasegate status`, and the way to stop them.

Reads the `process` target's folders; needs no policy and no repository, which may both be gone.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from phasegate.infra.artifacts import sha256
from phasegate.infra.deploy.process.proxy.proxy import shares_of
from phasegate.infra.deploy.process.supervisor.client import ProcessStatus, processes_of, status_of
from phasegate.infra.deploy.service_folder import Running, ServiceFolder, ServiceState
from phasegate.infra.deploy.target import LiveRelease, TargetState
from phasegate.infra.system.ports import HOST, require_free
from phasegate.infra.system.processes import find_by_mark, stop_all

GRACE = timedelta(seconds=10)
"""Time that a service is given between SIGTERM and SIGKILL."""


def services(state_folder: Path) -> list[TargetState]:
    """Every service that was ever released from this state folder, by name.

    Raises:
        DeployFailed: The state of one cannot be read.
    """
    paths = sorted((state_folder / "services").glob("*/state.json"))
    return [state_of(ServiceFolder(state_folder, path.parent.name)) for path in paths]


def service_name(repository: Path) -> str:
    """Name of a repository's service: its folder's name, and a digest of its path that tells it from others."""
    name = "".join(letter if letter.isalnum() else "-" for letter in repository.name.lower()).strip("-") or "service"
    return f"{name}-{sha256(str(repository))[-6:]}"


def require_port(state_folder: Path, service: str, port: int) -> None:
    """Stop unless the service could listen on a port: it is free, or the service itself has it.

    Raises:
        PortTaken: Another process listens there.
    """
    folder = ServiceFolder(state_folder, service)
    ours = (process for role in ("service", "front") for process in find_by_mark(folder.mark(role)))
    require_free(port, but_for={process.pid for process in ours})


async def stop_service(state_folder: Path, service: str, *, grace: timedelta = GRACE) -> None:
    """Stop a service and its candidates; which release is current is kept.

    Effects:
        Nothing of the service runs; repeated, nothing more.
    """
    folder = ServiceFolder(state_folder, service)
    async with folder.lock():
        state = folder.read()
        processes = [process for running in state.running() for process in processes_of(folder.path, running)]
        await stop_all(folder.mark(), processes, grace=grace)
        if state.running():
            state.serving = state.front = None
            state.candidates, state.leaving, state.weights = {}, {}, {}
            folder.write(state)


def state_of(folder: ServiceFolder) -> TargetState:
    """State of a service at this moment, by its folder and its processes.

    Raises:
        DeployFailed: The state cannot be read.
    """
    state = folder.read()
    shares = shares_of(folder, state)
    current = None
    if state.current is not None:
        serving = state.serving if state.serving and state.serving.release_id == state.current else None
        current = _current(folder, state, state.current, serving)
    return TargetState(
        target="process",
        service=folder.service,
        current=current,
        previous=state.releases[state.current].previous if state.current else None,
        candidates=tuple(
            _live_release(folder, state, release_id, running).model_copy(update={"weight": shares.get(release_id, 0.0)})
            for release_id, running in state.candidates.items()
        ),
    )


def _current(folder: ServiceFolder, state: ServiceState, release_id: str, running: Running | None) -> LiveRelease:
    """The current release, which answers on the service's address, and not without its proxy where it has one."""
    release = _live_release(folder, state, release_id, running)
    port = state.releases[release_id].port or release.port
    front = status_of(folder.path, state.front) if state.front else None
    detail = release.detail if front is None or front.alive else f"{release.detail}; its proxy: {front.detail}"
    return release.model_copy(
        update={
            "url": f"http://{state.host}:{port}",
            "port": port,
            "alive": release.alive and (front is None or front.alive),
            "detail": detail,
            "own_url": release.url if front is not None else "",
        }
    )


def _live_release(folder: ServiceFolder, state: ServiceState, release_id: str, running: Running | None) -> LiveRelease:
    life = (
        status_of(folder.path, running)
        if running
        else ProcessStatus(alive=False, is_dead=True, detail="the process was stopped")
    )
    port = running.port if running else state.releases[release_id].port or 0
    return LiveRelease(
        release_id=release_id,
        commit=state.releases[release_id].commit,
        url=f"http://{HOST}:{port}",
        port=port,
        alive=life.alive,
        detail=life.detail,
    )
