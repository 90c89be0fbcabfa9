"""Control groups that bound what some processes use together, where this machine lets us make one.

Called by the sandbox and by the supervisor of a service, which has to stay small: standard library only. A machine that
lets us make none is no error: callers also count by themselves.
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

TASKS_PER_PROCESS = 16
"""The kernel counts threads; policy counts processes."""
_ROOT = Path("/sys/fs/cgroup")
_SWAP = ("memory.swap", "memory.memsw")
"""Not there where the kernel does not count swap."""


class _Home(NamedTuple):
    folder: Path
    """Folder in which a group can be made."""
    unified: bool
    """True if it is of cgroup v2."""


def new_groups(number: int, *, pids: int = 0, memory: int = 0) -> list[Path]:
    """Make groups for what this process is about to start.

    Args:
        number: Tells groups of this process apart.
        pids: Processes at once; 0: as many as there can be.
        memory: Bytes; 0: as many as there are.

    Returns:
        One per hierarchy; fewer than asked for where this process may not make them.
    """
    limits: dict[Path, dict[str, int]] = {}
    for controller, limit in (("pids", pids * TASKS_PER_PROCESS), ("memory", memory)):
        if limit and (home := _home(controller)):
            limits.setdefault(home.folder, {}).update(_files(controller, limit, unified=home.unified))
    groups = (_new_group(folder, f"phasegate-{os.getpid()}-{number}", files) for folder, files in limits.items())
    return [group for group in groups if group]


def joining(groups: list[Path]) -> list[str]:
    """Commands by which a shell becomes a member, one per group."""
    return [f"echo $$ > {shlex.quote(str(group / 'cgroup.procs'))}" for group in groups]


def adopt(groups: list[Path], process_ids: list[int]) -> None:
    """Make processes that run already members."""
    for group in groups:
        for process_id in process_ids:
            with suppress(OSError):  # ended meanwhile
                (group / "cgroup.procs").write_text(str(process_id))


def removed(group: Path) -> bool:
    """Remove a group, unless a process is still in it.

    Returns:
        True if it was removed.
    """
    try:
        group.rmdir()
    except OSError:
        return False
    return True


def bounds_memory(groups: list[Path]) -> bool:
    """True if one of the groups bounds the memory of its members."""
    return any((group / name).exists() for group in groups for name in ("memory.max", "memory.limit_in_bytes"))


def out_of_memory(groups: list[Path]) -> int:
    """Number of members that the kernel has ended because the group had used up its memory."""
    total = 0
    for group in groups:
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError):  # the other version has the other file
                lines = (line.split() for line in (group / name).read_text().splitlines())
                total += sum(int(count) for key, count in lines if key == "oom_kill")
    return total


def _new_group(folder: Path, name: str, files: dict[str, int]) -> Path | None:
    _remove_stale(folder)
    group = folder / name
    try:
        group.mkdir()
        present = {file: limit for file, limit in files.items() if (group / file).exists()}
        if all(file.startswith(_SWAP) for file in present):
            raise FileNotFoundError(group)
        for file, limit in present.items():
            (group / file).write_text(str(limit))
    except OSError:
        removed(group)
        return None
    return group


def _remove_stale(folder: Path) -> None:
    for stale in folder.glob("phasegate-*"):
        with suppress(OSError):  # in use
            if not Path(f"/proc/{stale.name.split('-')[1]}").exists():
                stale.rmdir()


def _files(controller: str, limit: int, *, unified: bool) -> dict[str, int]:
    if controller == "pids":
        return {"pids.max": limit}
    if unified:
        return {"memory.max": limit, "memory.swap.max": 0}
    return {"memory.limit_in_bytes": limit, "memory.memsw.limit_in_bytes": limit}


def _home(controller: str) -> _Home | None:
    """The folder where a sibling or child group with this controller could be made."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return _Home(_ROOT / controller / path.lstrip("/"), unified=False)
    for line in lines:
        if line.startswith("0::"):
            return _Home((_ROOT / line[4:]).parent, unified=True)
    return None
