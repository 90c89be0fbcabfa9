"""The machine's process table, as /proc shows it: who descends from whom, and what they use together.

Called by the sandbox, by the `process` target and by the supervisor of a service, which has to stay small: standard
library only. It must not know what the processes are for, and ends none.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class Process(NamedTuple):
    """Process, as a row of the process table."""

    parent: int
    group: int
    session: int
    ticks: int
    """Processor time used, by children that ended too."""
    started: int
    """Clock ticks from boot to its start."""
    ended: bool
    """True if only its entry is left, or not even all of that: its group and session read -1 then."""


@dataclass(frozen=True)
class ProcessUsage:
    """Usage of some processes together."""

    processes: int
    cpu_seconds: float
    memory: int

    def exceeded(self, *, pids: int = 0, cpu_seconds: int = 0, memory: int = 0) -> str:
        """The limit that is exceeded, as a person reads it, or an empty string if none is. A limit of 0 is none."""
        if pids and self.processes > pids:
            return f"more than {pids} processes"
        if cpu_seconds and self.cpu_seconds > cpu_seconds:
            return f"more than {cpu_seconds} s of processor time"
        if memory and self.memory > memory:
            return f"more than {memory // 1024**2} MiB of memory"
        return ""


def pids() -> list[int]:
    """The process ids there are at this moment."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - a thousand names, often


def row(process_id: int) -> Process | None:
    """A process's row, while it is there. Source: proc(5)."""
    fields = _fields(process_id, "stat")
    if not fields:
        return None
    return Process(
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        ticks=sum(map(int, fields[11:15])),
        started=int(fields[19]),
        ended=fields[0] in {b"Z", b"X", b"x"} or int(fields[2]) < 0,
    )


def usage(leader: int) -> ProcessUsage:
    """Usage of a session leader, its session and all their descendants.

    Args:
        leader: The process id that began the session.
    """
    processes = members(leader)
    return ProcessUsage(
        processes=len(processes),
        cpu_seconds=sum(process.ticks for process in processes.values()) / _TICKS,
        memory=sum(map(_private_pages, processes)) * _PAGE,
    )


def members(leader: int, mark: str = "") -> dict[int, Process]:
    """A session leader, its session, all processes that carry the mark, and all descendants of these.

    Args:
        leader: The process id that began the session.
        mark: `NAME=value` that the command's environment has and no other's; if empty, it is not looked for.
    """
    table = {process_id: process for process_id in pids() if (process := row(process_id))}
    children: dict[int, list[int]] = {}
    for process_id, process in table.items():
        children.setdefault(process.parent, []).append(process_id)
    pending = [
        process_id
        for process_id, process in table.items()
        if process.session == leader or (mark and _is_marked(process_id, mark))
    ]
    processes: dict[int, Process] = {}
    while pending:
        process_id = pending.pop()
        if process_id not in processes:
            processes[process_id] = table[process_id]
            pending += children.get(process_id, [])
    return processes


def _is_marked(process_id: int, mark: str) -> bool:
    try:
        return mark.encode() in Path(f"/proc/{process_id}/environ").read_bytes().split(b"\0")
    except OSError:  # ended meanwhile, or another user's
        return False


def _private_pages(process_id: int) -> int:
    fields = _fields(process_id, "statm")
    return max(0, int(fields[1]) - int(fields[2])) if fields else 0


def _fields(process_id: int, file: str) -> list[bytes]:
    """The fields of a process's file, after the command's name, which may hold anything."""
    try:
        with Path(f"/proc/{process_id}/{file}").open("rb") as text:
            return text.read().rpartition(b")")[2].split()
    except OSError:  # ended meanwhile
        return []
