"""Operating-system processes that outlive us: started in their own session, found again, stopped with all they started.

Used by the `process` target. A process is known in two ways. Its pid together with its start time from /proc names it
for ever (a pid alone is reused; psutil knows no ticks, so the process table is read). And each carries a mark in its
environment, so that one started just before a `kill -9` of ours, whose pid we had no time to record, is found as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from phasegate.infra.documents.text import mend_text
from phasegate.infra.system.process_table import row
from phasegate.infra.system.spawn import MARK, spawn

_POLL = timedelta(milliseconds=50)


class ProcessId(BaseModel):
    """A process, for ever.

    Attributes:
        started: Clock ticks from boot to the process's start, as /proc says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    started: int


def start(command: str, *, folder: Path, log: Path, environment: Mapping[str, str], mark: str) -> ProcessId:
    """Start a shell command detached: own session, no standard input, output appended to a log.

    Args:
        command: For `/bin/sh`; given to `exec` when it is a single program's call, so that signals reach it.
        folder: The working directory.
        log: Receives standard output and error.
        environment: The whole environment, besides the mark.
        mark: What `marked` finds the process and its children by.
    """
    pid = spawn(command, folder=folder, log=log, environment={**environment, MARK: mark})
    entry = row(pid)  # there even if it has ended already: only we collect it
    return ProcessId(pid=pid, started=entry.started if entry else 0)


def ending(process: ProcessId) -> str | None:
    """Tell how a process ended, in words, or `None` while it runs. Collects its exit status if it is our child."""
    entry = row(process.pid)
    if entry is None or entry.started != process.started:
        return "has ended"
    if not entry.ended:
        return None
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
    except ChildProcessError:  # the engine that started it is gone, and its code with it
        return "has ended"
    return f"exited with code {code}" if code >= 0 else f"was ended by signal {-code}"


def find_by_mark(prefix: str) -> list[ProcessId]:
    """Every running process whose mark begins so, oldest first."""
    processes: list[ProcessId] = []
    for marked in psutil.process_iter(["environ"]):
        variables: dict[str, str] = marked.info["environ"] or {}  # None: it has ended, or belongs to another user
        if MARK in variables and variables[MARK].startswith(prefix):
            process = row(marked.pid)
            if process and not process.ended:
                processes.append(ProcessId(pid=marked.pid, started=process.started))
    return sorted(processes, key=lambda process: process.started)


async def stop_all(prefix: str, known: Collection[ProcessId], *, grace: timedelta) -> None:
    """End processes with everything they started: SIGTERM to their groups, SIGKILL to what is left after `grace`.

    Args:
        prefix: Every process whose mark begins so.
        known: And these, whose mark may be unreadable (`env -i`, another user).
        grace: The time between the two signals.
    """
    groups: dict[int, ProcessId] = {}
    deadline = time.monotonic() + grace.total_seconds()
    while remaining := [*find_by_mark(prefix), *(process for process in known if ending(process) is None)]:
        late = time.monotonic() > deadline
        for process in remaining:
            now = row(process.pid)
            if now is None or now.started != process.started or now.group < 0:
                continue  # it has ended meanwhile
            if late or now.group not in groups:
                groups[now.group] = process
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(now.group, signal.SIGKILL if late else signal.SIGTERM)
        await asyncio.sleep(_POLL.total_seconds())
    for process in groups.values():
        ending(process)  # collects our own children, which would otherwise stay on as zombies


def command_of(pid: int) -> str:
    """A process's command line, for messages, or an empty string if it cannot be read."""
    with contextlib.suppress(psutil.Error):
        return mend_text(" ".join(psutil.Process(pid).cmdline()))
    return ""
