"""Puts a supervisor beside every process that has lost its own: killed with it, by hand or with the machine.

Called by the engine every few seconds. A process that a person stopped stays stopped, as does one that was given up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from phasegate.infra.deploy.process.proxy.proxy import start_proxy
from phasegate.infra.deploy.process.releases import start_release
from phasegate.infra.deploy.process.supervisor.supervisor import SupervisorReport
from phasegate.infra.deploy.service_folder import Running, ServiceFolder
from phasegate.infra.system.processes import ProcessId, ending


async def reconcile_services(state_folder: Path, environment: Mapping[str, str]) -> list[str]:
    """See to every service of this machine.

    Args:
        state_folder: Phasegate's state.
        environment: As for `ProcessTarget`.

    Returns:
        What was taken up again: `<service> <release>`, the proxy's `<service> front`.

    Raises:
        DeployFailed: The state of a service cannot be read.
        TargetRefused: A proxy has died and HAProxy is not installed any more.
    """
    restarted: list[str] = []
    for path in sorted((state_folder / "services").glob("*/state.json")):
        folder = ServiceFolder(state_folder, path.parent.name)
        if any(_is_left(folder, running) for running in folder.read().running()):
            restarted += [f"{folder.service} {name}" for name in await _take_up(folder, environment)]
    return restarted


async def _take_up(folder: ServiceFolder, environment: Mapping[str, str]) -> list[str]:
    restarted: list[str] = []
    async with folder.lock():
        state = folder.read()

        def restart_if_lost(running: Running) -> Running:
            if not _is_left(folder, running):
                return running
            restarted.append(running.release_id)
            if running is state.front:
                process: ProcessId = start_proxy(folder, path=environment.get("PATH", os.defpath))
            else:
                deploy = state.release(running.release_id).deploy
                process = start_release(
                    folder, deploy, running.release_id, running.port, running.report, environment=environment
                )
            return running.model_copy(update={"process": process})

        if state.front:
            state.front = restart_if_lost(state.front)
        if state.serving:
            state.serving = restart_if_lost(state.serving)
        state.candidates = {name: restart_if_lost(running) for name, running in state.candidates.items()}
        folder.write(state)
    return restarted


def _is_left(folder: ServiceFolder, running: Running) -> bool:
    """True if a process should have a supervisor and has none. A process that leaves needs none any more."""
    report = SupervisorReport.read(folder.path / running.report) if running.report else None
    return report is not None and report.trusted and not report.gave_up and ending(running.process) is not None
