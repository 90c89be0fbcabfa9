"""Operating-system processes that outlive us: started in their own session, found again, stopped with all they started.

Used by the `process` target. A process is known in two ways. Its pid together with its start time from /proc names it
for ever (a pid alone is reused). And each carries a mark in its environment, so that one started just before a
`kill -9` of ours, whose pid nobody had time to write down, is found as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

MARK = "PHASEGATE_RELEASE"
"""The environment variable that holds a process's mark."""
_PROC = Path("/proc")
_POLL = timedelta(milliseconds=50)
_FRESH_SIGNALS = [signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD]
_ENDED = "ZXx"
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


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
    pid = os.posix_spawn(
        "/bin/sh",
        ["/bin/sh", "-c", f'cd "$0" || exit\n{_replacing_the_shell(command)}', str(folder)],
        {**environment, MARK: mark},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), _APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=_FRESH_SIGNALS,
    )
    stat = _stat(pid)  # there even when it has ended already: nobody but us collects it
    return ProcessId(pid=pid, started=stat.started if stat else 0)


def ending(process: ProcessId) -> str | None:
    """How a process ended, in words; None while it runs. Collects its exit status when it is our child."""
    stat = _stat(process.pid)
    if stat is None or stat.started != process.started:
        return "has ended"
    if stat.state not in _ENDED:
        return None
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
    except ChildProcessError:  # the engine that started it is gone, and its code with it
        return "has ended"
    return f"exited with code {code}" if code >= 0 else f"was ended by signal {-code}"


def marked(prefix: str) -> list[ProcessId]:
    """Every running process whose mark begins so, oldest first."""
    wanted = f"{MARK}={prefix}".encode()
    found: list[ProcessId] = []
    for pid in pids():
        with contextlib.suppress(OSError):  # it ended meanwhile, or belongs to somebody else
            variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
            stat = _stat(pid)
            if stat and stat.state not in _ENDED and any(variable.startswith(wanted) for variable in variables):
                found.append(ProcessId(pid=pid, started=stat.started))
    return sorted(found, key=lambda process: process.started)


async def stop_all(prefix: str, known: Collection[ProcessId], *, grace: timedelta) -> None:
    """End processes with everything they started: SIGTERM to their groups, SIGKILL to what is left after `grace`.

    Args:
        prefix: Every process whose mark begins so.
        known: And these, whose mark may be unreadable (`env -i`, another user).
        grace: The time between the two signals.
    """
    told: dict[int, ProcessId] = {}
    deadline = time.monotonic() + grace.total_seconds()
    while found := [*marked(prefix), *(process for process in known if ending(process) is None)]:
        late = time.monotonic() > deadline
        for process in found:
            stat = _stat(process.pid)
            if stat is not None and stat.started == process.started and (late or stat.group not in told):
                told[stat.group] = process
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(stat.group, signal.SIGKILL if late else signal.SIGTERM)
        await asyncio.sleep(_POLL.total_seconds())
    for process in told.values():
        ending(process)  # collects our own children, which would otherwise stay on as zombies


def command_of(pid: int) -> str:
    """A process's command line, for messages; empty when it cannot be read."""
    with contextlib.suppress(OSError):
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def pids() -> Iterator[int]:
    """The process ids there are at this moment."""
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal())


def _replacing_the_shell(command: str) -> str:
    """`exec` the command when it is one program's call, so that no shell stands between it and its signals."""
    first = command.split(maxsplit=1)[0] if command.strip() else ""
    several = any(character in command for character in ";&|()<>`\n")
    return command if several or "=" in first or first in {"cd", "exec", "."} else f"exec {command}"


class _Stat(NamedTuple):
    state: str
    group: int
    started: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the program's name, in parentheses before, may hold anything
    return _Stat(state=fields[0], group=int(fields[2]), started=int(fields[19]))
