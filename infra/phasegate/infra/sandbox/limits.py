"""Limits on one command: memory, processor time, processes, the size of a file.

Called by `process.py`. Three means, since none suffices alone: limits the kernel puts on each process, a count over
the whole tree a few times a second (RLIMIT_NPROC does not bind root), and a pids cgroup where one can be made, which
stops a fork bomb before the count does. It must not know how the processes are shut in.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from phasegate.infra.system.cgroups import joining, new_groups, removed
from phasegate.infra.system.process_table import usage
from phasegate.infra.system.shell import tolerant

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from phasegate.infra.policy.model import SandboxPolicy

OPEN_FILES = 4096
"""Files one process may have open at once."""
_CPU_GRACE_SECONDS = 5  # for the count over the whole tree, which can say why, to come first
_REMOVALS = 100
_REMOVAL_PAUSE_SECONDS = 0.01
_numbers = itertools.count()


def limited(command: Sequence[str], policy: SandboxPolicy, groups: list[Path]) -> list[str]:
    """The command, started by a shell that first puts the kernel's limits on itself.

    RLIMIT_DATA and not RLIMIT_AS: runtimes that reserve address space without using it (V8, the JVM, Go) work.
    """
    steps = [
        f"ulimit -d {policy.memory // 1024}",
        f"ulimit -t {policy.cpu_seconds + _CPU_GRACE_SECONDS}",
        f"ulimit -f {max(1, policy.disk // 512)}",
        f"ulimit -n {OPEN_FILES}",
        "ulimit -c 0",
        *joining(groups),
    ]
    return ["/bin/sh", "-c", tolerant(steps) + 'exec "$@"', "sh", *command]


def usage_exceeded(leader: int, policy: SandboxPolicy) -> str:
    """The limit that a command's session exceeds, as a person reads it, or an empty string if it exceeds none.

    Args:
        leader: The process id that began the session.
        policy: The limits.
    """
    return usage(leader).exceeded(pids=policy.pids, cpu_seconds=policy.cpu_seconds, memory=policy.memory)


class Growth:
    """Growth of some folders, found without looking at every file all the time.

    Files are only looked at once the file system itself has lost room; then those count that were changed since.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Begin to watch."""
        self._folders = folders
        self._began = time.time()
        self._free = [_free_bytes(folder) for folder in folders]

    def exceeded(self, policy: SandboxPolicy) -> str:
        """The limit that is exceeded, as a person reads it, or an empty string if none is."""
        lost = [was - _free_bytes(folder) for was, folder in zip(self._free, self._folders, strict=True)]
        if max(lost, default=0) < policy.disk // 2:
            return ""
        written = sum(_changed_bytes(folder, self._began) for folder in self._folders)
        return f"more than {policy.disk // 1024**2} MiB written" if written > policy.disk else ""


def _free_bytes(folder: Path) -> int:
    try:
        filesystem = os.statvfs(folder)
    except OSError:  # removed meanwhile
        return 0
    return filesystem.f_bavail * filesystem.f_frsize


def _changed_bytes(folder: Path, since: float) -> int:
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):  # removed meanwhile
                status = os.lstat(os.path.join(parent, name))  # noqa: PTH118  for each of many files
                total += status.st_blocks * 512 if status.st_ctime >= since else 0
    return total


@asynccontextmanager
async def task_group(policy: SandboxPolicy) -> AsyncGenerator[list[Path]]:
    """A cgroup that bounds how many tasks can exist at once, where this process may make one."""
    groups = new_groups(next(_numbers), pids=policy.pids)
    try:
        yield groups
    finally:
        for group in groups:
            await _remove_group(group)


async def _remove_group(group: Path) -> None:
    for _ in range(_REMOVALS):  # its last process may still be on its way out
        if removed(group):
            return
        await asyncio.sleep(_REMOVAL_PAUSE_SECONDS)
