"""Has processes kept running: puts a keeper beside each, and reads from its report how its charge is.

Used by the `process` target for releases and for the front. The keeper itself is another program; it outlives us.
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

from phasegate.infra.deploy.process.supervisor.supervisor import Order, Report
from phasegate.infra.deploy.service_folder import Running
from phasegate.infra.system.process_table import row
from phasegate.infra.system.processes import ProcessId, ending, start


@dataclass(frozen=True)
class Life:
    """How a process that was started is at this moment.

    Attributes:
        alive: Whether it runs.
        over: Whether it will not run again by itself.
        detail: In a few words.
    """

    alive: bool
    over: bool
    detail: str


def start_kept(order: Order, *, environment: Mapping[str, str], mark: str) -> ProcessId:
    """Start a keeper, which starts its charge.

    Args:
        order: What it has to keep.
        environment: The charge's whole environment, besides the mark.
        mark: What both are found by.

    Returns:
        The keeper.
    """
    words = [
        sys.executable,
        "-I",
        "-m",
        "phasegate.infra.deploy.process.supervisor.supervisor",
        json.dumps(asdict(order)),
    ]
    return start(f"exec {shlex.join(words)}", folder=Path("/"), log=Path(order.log), environment=environment, mark=mark)


def life_of(folder: Path, running: Running) -> Life:
    """How a process is.

    Args:
        folder: The service's, below which its report is.
        running: The process; one without a report was started by an earlier version, and has no keeper.
    """
    kept = ending(running.process)
    if not running.report:
        return Life(alive=kept is None, over=kept is not None, detail=_in_words(kept))
    report = Report.read(folder / running.report) or Report()
    again = f"; it was started again {_times(report.deaths)}, since it {report.ending}" if report.deaths else ""
    if report.runs():
        return Life(alive=True, over=False, detail=f"runs{again}")
    if report.gave_up:
        often = f", {_times(report.deaths)} in a row, and is not started again" if report.deaths > 1 else ""
        return Life(alive=False, over=True, detail=f"the process {report.ending}{often}")
    if kept is None:
        said = f"the process {report.ending}; it is started again" if report.ending else "is being started"
        return Life(alive=False, over=False, detail=said)
    return Life(alive=False, over=True, detail=f"the process {report.ending or 'has ended'}")


def processes_of(folder: Path, running: Running | None) -> list[ProcessId]:
    """A keeper and its charge, whether or not they still run; the charge may hide its environment, and so its mark."""
    if running is None:
        return []
    report = Report.read(folder / running.report) if running.report else None
    charge = [ProcessId(pid=report.pid, started=report.started)] if report and report.pid else []
    return [running.process, *charge]


def over(folder: Path, running: Running) -> str | None:
    """Why a process will not run again by itself, as `the process …` goes on; None while it may."""
    life = life_of(folder, running)
    return life.detail.removeprefix("the process ") if life.over else None


def trust(running: Running) -> None:
    """Tell the keeper that its charge was healthy: from now on it is started again when it dies."""
    now = row(running.process.pid)
    if running.report and now is not None and now.started == running.process.started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.process.pid, signal.SIGUSR1)


def _in_words(ended: str | None) -> str:
    return "runs" if ended is None else f"the process {ended}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
