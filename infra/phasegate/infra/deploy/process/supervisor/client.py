"""Has processes kept running: puts a supervisor beside each, and reads from its report how its child is.

Used by the `process` target for releases and for the proxy. The supervisor itself is another program; it outlives us.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from phasegate.infra.deploy.process.supervisor.supervisor import SupervisorReport, SupervisorSpec
from phasegate.infra.deploy.service_folder import Running
from phasegate.infra.system.process_table import row
from phasegate.infra.system.processes import ProcessId, ending, start


@dataclass(frozen=True)
class ProcessStatus:
    """Status of a process that was started.

    Attributes:
        alive: True if it runs.
        is_dead: True if it will not run again by itself.
        detail: In a few words.
    """

    alive: bool
    is_dead: bool
    detail: str


def start_supervised(spec: SupervisorSpec, *, environment: Mapping[str, str], mark: str) -> ProcessId:
    """Start a supervisor, which starts its child.

    Args:
        spec: What it has to keep running.
        environment: The child's whole environment, besides the mark.
        mark: What both are found by.

    Returns:
        The supervisor.
    """
    words = [
        sys.executable,
        "-I",
        "-m",
        "phasegate.infra.deploy.process.supervisor.supervisor",
        json.dumps(asdict(spec)),
    ]
    return start(f"exec {shlex.join(words)}", folder=Path("/"), log=Path(spec.log), environment=environment, mark=mark)


def status_of(folder: Path, running: Running) -> ProcessStatus:
    """Status of a process, by the kernel and by its supervisor's report.

    Args:
        folder: The service's, below which its report is.
        running: The process; one without a report was started by an earlier version, and has no supervisor.
    """
    end = ending(running.process)
    if not running.report:
        return ProcessStatus(alive=end is None, is_dead=end is not None, detail=_in_words(end))
    report = SupervisorReport.read(folder / running.report) or SupervisorReport()
    again = f"; it was started again {_times(report.deaths)}, since it {report.ending}" if report.deaths else ""
    if report.runs():
        return ProcessStatus(alive=True, is_dead=False, detail=f"runs{again}")
    if report.gave_up:
        often = f", {_times(report.deaths)} in a row, and is not started again" if report.deaths > 1 else ""
        return ProcessStatus(alive=False, is_dead=True, detail=f"the process {report.ending}{often}")
    if end is None:
        detail = f"the process {report.ending}; it is started again" if report.ending else "is being started"
        return ProcessStatus(alive=False, is_dead=False, detail=detail)
    return ProcessStatus(alive=False, is_dead=True, detail=f"the process {report.ending or 'has ended'}")


def processes_of(folder: Path, running: Running | None) -> list[ProcessId]:
    """A supervisor and its child, running or not; the child may hide its environment, and so its mark."""
    if running is None:
        return []
    report = SupervisorReport.read(folder / running.report) if running.report else None
    child = [ProcessId(pid=report.pid, started=report.started)] if report and report.pid else []
    return [running.process, *child]


def why_dead(folder: Path, running: Running) -> str | None:
    """Reason why a process will not run again by itself, worded to follow `the process`, or `None` while it may."""
    life = status_of(folder, running)
    return life.detail.removeprefix("the process ") if life.is_dead else None


def confirm_healthy(running: Running) -> None:
    """Tell the supervisor that its child was healthy: from now on it is started again when it dies."""
    now = row(running.process.pid)
    if running.report and now is not None and now.started == running.process.started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.process.pid, signal.SIGUSR1)


def _in_words(ended: str | None) -> str:
    return "runs" if ended is None else f"the process {ended}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
