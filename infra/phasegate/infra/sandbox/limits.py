"""Limits on one command: memory, processor time, processes, the size of a file.

Called by `process.py`. Three means, since none suffices alone: limits the kernel puts on each process, a count over
the whole tree a few times a second (RLIMIT_NPROC does not bind root), and cgroups where they can be made. Of these the
one of tasks stops a fork bomb before the count does; the one of memory holds what processes share, too. It must not
know how the processes are shut in.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from phasegate.infra.sandbox.shared_memory import shared_bytes
from phasegate.infra.system.cgroups import bounds_memory, joining, new_groups, out_of_memory, removed
from phasegate.infra.system.process_table import usage
from phasegate.infra.system.shell import tolerant

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from phasegate.infra.policy.model import SandboxPolicy

OPEN_FILES = 4096
"""Files one process may have open at once."""
_CPU_GRACE_SECONDS = 5  # for the count over the whole tree, which can say why, to come first
_TRIAL_BYTES = 1024**2
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


def usage_exceeded(leader: int, policy: SandboxPolicy, groups: list[Path]) -> str:
    """The limit that a command's session exceeds, as a person reads it, or an empty string if it exceeds none.

    Args:
        leader: The process id that began the session.
        policy: The limits.
        groups: The command's control groups.
    """
    used = usage(leader)
    if out_of_memory(groups):
        used = replace(used, memory=policy.memory + 1)  # the kernel has ended a process that asked for more
    elif not bounds_memory(groups):
        used = replace(used, memory=used.memory + shared_bytes(leader))
    return used.exceeded(pids=policy.pids, cpu_seconds=policy.cpu_seconds, memory=policy.memory)


@cache
def groups_bound_memory() -> bool:
    """True if this process may make control groups that bound memory; tried once."""
    groups = new_groups(next(_numbers), memory=_TRIAL_BYTES)
    try:
        return bounds_memory(groups)
    finally:
        for group in groups:
            removed(group)


@asynccontextmanager
async def control_groups(policy: SandboxPolicy) -> AsyncGenerator[list[Path]]:
    """Control groups that bound how many tasks can exist at once, and their memory, where this process may make them.

    The memory of a group is the heap of its processes, what they share, and their files in memory, wherever these are.
    """
    groups = new_groups(next(_numbers), pids=policy.pids, memory=policy.memory)
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
