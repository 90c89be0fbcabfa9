"""What one command may use: memory, processor time, processes, the size of a file.

Called by `process.py`. Three means, since none suffices alone: limits the kernel puts on each process, a count over
the whole tree a few times a second (RLIMIT_NPROC does not bind root), and a pids cgroup where one can be made, which
stops a fork bomb before the count does. It must not know how the processes are shut in.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shlex
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from phasegate.infra.policy.model import SandboxPolicy

OPEN_FILES = 4096
"""Files one process may have open at once."""
_TASKS_PER_PROCESS = 16  # the kernel counts threads; policy counts processes
_CPU_GRACE_SECONDS = 5  # for the count over the whole tree, which can say why, to come first
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_REMOVALS = 100
_REMOVAL_PAUSE_SECONDS = 0.01
_numbers = itertools.count()


def limited(command: Sequence[str], policy: SandboxPolicy, cgroup: Path | None) -> list[str]:
    """The command, started by a shell that first puts the kernel's limits on itself.

    RLIMIT_DATA and not RLIMIT_AS: runtimes that reserve address space without using it (V8, the JVM, Go) work.
    """
    steps = [
        f"ulimit -d {policy.memory // 1024}",
        f"ulimit -t {policy.cpu_seconds + _CPU_GRACE_SECONDS}",
        f"ulimit -f {max(1, policy.disk // 512)}",
        f"ulimit -n {OPEN_FILES}",
        "ulimit -c 0",
    ]
    if cgroup:
        steps.append(f"echo $$ > {shlex.quote(str(cgroup / 'cgroup.procs'))}")
    # a step fails where a stricter limit already holds
    tolerant = "".join(f"{{ {step}; }} 2>/dev/null || :\n" for step in steps)
    return ["/bin/sh", "-c", tolerant + 'exec "$@"', "sh", *command]


@dataclass(frozen=True)
class Usage:
    """What a command and all that it started use together."""

    processes: int
    cpu_seconds: float
    memory: int

    def exceeded(self, policy: SandboxPolicy) -> str:
        """The limit that is exceeded, as a person reads it; empty: none."""
        if self.processes > policy.pids:
            return f"more than {policy.pids} processes"
        if self.cpu_seconds > policy.cpu_seconds:
            return f"more than {policy.cpu_seconds} s of processor time"
        if self.memory > policy.memory:
            return f"more than {policy.memory // 1024**2} MiB of memory"
        return ""


def usage(leader: int) -> Usage:
    """What a session leader, its session and all their descendants use.

    Args:
        leader: The process id that began the session.
    """
    found = members(leader)
    return Usage(
        processes=len(found),
        cpu_seconds=sum(process.ticks for process in found.values()) / _TICKS,
        memory=sum(map(_private_pages, found)) * _PAGE,
    )


class Process(NamedTuple):
    """One row of the process table."""

    parent: int
    session: int
    ticks: int
    """Processor time used, by children that ended too."""
    ended: bool
    """Whether only its entry is left."""


def members(leader: int, mark: str = "") -> dict[int, Process]:
    """A session leader, its session, all their descendants, and whoever carries the mark.

    Args:
        leader: The process id that began the session.
        mark: `NAME=value` that the command's environment has and no other's; empty: not looked for.
    """
    table = {process_id: row for process_id in _process_ids() if (row := _row(process_id))}
    children: dict[int, list[int]] = {}
    for process_id, process in table.items():
        children.setdefault(process.parent, []).append(process_id)
    pending = [
        process_id
        for process_id, process in table.items()
        if process.session == leader or (mark and _is_marked(process_id, mark))
    ]
    found: dict[int, Process] = {}
    while pending:
        process_id = pending.pop()
        if process_id not in found:
            found[process_id] = table[process_id]
            pending += children.get(process_id, [])
    return found


def _process_ids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - a thousand names, often


def _row(process_id: int) -> Process | None:
    """A row, while the process is there. Source: proc(5)."""
    fields = _fields(process_id, "stat")
    if not fields:
        return None
    return Process(int(fields[1]), int(fields[3]), sum(map(int, fields[11:15])), fields[0] == b"Z")


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


class Growth:
    """How much larger some folders have become, without looking at every file all the time.

    Files are only looked at once the file system itself has lost room; then those count that were changed since.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Begin to watch."""
        self._folders = folders
        self._began = time.time()
        self._free = [_free_bytes(folder) for folder in folders]

    def exceeded(self, policy: SandboxPolicy) -> str:
        """The limit that is exceeded, as a person reads it; empty: none."""
        lost = [was - _free_bytes(folder) for was, folder in zip(self._free, self._folders, strict=True)]
        if max(lost, default=0) < policy.disk // 2:
            return ""
        written = sum(_changed_bytes(folder, self._began) for folder in self._folders)
        return f"more than {policy.disk // 1024**2} MiB written" if written > policy.disk else ""


def _free_bytes(folder: Path) -> int:
    try:
        found = os.statvfs(folder)
    except OSError:  # removed meanwhile
        return 0
    return found.f_bavail * found.f_frsize


def _changed_bytes(folder: Path, since: float) -> int:
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):  # removed meanwhile
                found = os.lstat(os.path.join(parent, name))  # noqa: PTH118  for each of many files
                total += found.st_blocks * 512 if found.st_ctime >= since else 0
    return total


@asynccontextmanager
async def task_group(policy: SandboxPolicy) -> AsyncGenerator[Path | None]:
    """A cgroup that bounds how many tasks can exist at once, where this process may make one."""
    group = _new_group(policy)
    try:
        yield group
    finally:
        if group:
            await _remove_group(group)


async def _remove_group(group: Path) -> None:
    for _ in range(_REMOVALS):  # its last process may still be on its way out
        if _removed(group):
            return
        await asyncio.sleep(_REMOVAL_PAUSE_SECONDS)


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


def _new_group(policy: SandboxPolicy) -> Path | None:
    parent = _pids_parent()
    if parent is None:
        return None
    for stale in parent.glob("phasegate-*"):
        with suppress(OSError):  # in use
            if not Path(f"/proc/{stale.name.split('-')[1]}").exists():
                stale.rmdir()
    group = parent / f"phasegate-{os.getpid()}-{next(_numbers)}"
    try:
        group.mkdir()
        (group / "pids.max").write_text(str(policy.pids * _TASKS_PER_PROCESS))
    except OSError:
        _removed(group)
        return None
    return group


def _pids_parent() -> Path | None:
    """The folder where a sibling or child cgroup with the pids controller could be made."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "pids" in controllers.split(","):
            return Path("/sys/fs/cgroup/pids") / path.lstrip("/")
    for line in lines:
        if line.startswith("0::"):
            return (Path("/sys/fs/cgroup") / line[4:]).parent
    return None
