"""Memory that belongs to no process alone: files in memory, and memory that processes share.

Called by `limits.py` where no control group bounds a command's memory. It must not know what the memory holds.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from functools import cache

from phasegate.infra.system.process_table import members, shared_pages_bytes

MEMORY_FOLDERS = ("/tmp", "/dev/shm", "/run")  # noqa: S108 - each sandbox has its own
"""Folders of a sandbox that are kept in memory."""
_SHARED_PARTS = 8
"""Part of the limit from which on memory that processes share is looked at."""


def memory_devices(process_id: int) -> set[int]:
    """Devices of file systems in memory that a process of a sandbox writes to."""
    devices = {_unmounted_device()}
    with suppress(OSError):  # ended meanwhile
        if _has_own_mounts(process_id):
            devices |= {os.stat(f"/proc/{process_id}/root{place}").st_dev for place in MEMORY_FOLDERS}  # noqa: PTH116
    return devices


def shared_bytes(leader: int, limit: int) -> int:
    """Bytes in memory that the processes of a session share, or keep in files.

    Args:
        leader: The process id that began the session.
        limit: Bytes that these may have in all.
    """
    process_ids = list(members(leader))
    total = max((_folder_bytes(process_id) for process_id in process_ids), default=0)
    files: dict[tuple[int, int], int] = {}
    for process_id in process_ids:
        files |= _files_in_memory(process_id)
    total += sum(files.values())
    if sum(map(shared_pages_bytes, process_ids)) > limit // _SHARED_PARTS:
        total += sum(map(_shared_anonymous, process_ids))
    return total


@cache
def _unmounted_device() -> int:
    """Device of memory that processes share without a mounted file system: memfd_create(2), mmap(2), shmget(2)."""
    descriptor = os.memfd_create("phasegate-device")
    try:
        return os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)


def _has_own_mounts(process_id: int) -> bool:
    return os.readlink(f"/proc/{process_id}/ns/mnt") != os.readlink("/proc/self/ns/mnt")  # noqa: PTH115 - often


def _folder_bytes(process_id: int) -> int:
    """Bytes in the folders of a sandbox that a process sees. A process outside sees the machine's: 0."""
    total = 0
    with suppress(OSError):  # ended meanwhile
        if _has_own_mounts(process_id):
            for place in MEMORY_FOLDERS:
                inside = os.statvfs(f"/proc/{process_id}/root{place}")
                if inside.f_fsid != os.statvfs(place).f_fsid:
                    total += (inside.f_blocks - inside.f_bfree) * inside.f_frsize
    return total


def _files_in_memory(process_id: int) -> dict[tuple[int, int], int]:
    """Sizes of the files of memfd_create(2) that a process has open, by their numbers."""
    files: dict[tuple[int, int], int] = {}
    folder = f"/proc/{process_id}/fd"
    with suppress(OSError):  # ended meanwhile
        for number in os.listdir(folder):  # noqa: PTH208 - often
            with suppress(OSError):
                if os.readlink(f"{folder}/{number}").startswith("/memfd:"):  # noqa: PTH115 - often
                    about = os.stat(f"{folder}/{number}")  # noqa: PTH116 - often
                    if stat.S_ISREG(about.st_mode):
                        files[about.st_dev, about.st_ino] = about.st_blocks * 512
    return files


def _shared_anonymous(process_id: int) -> int:
    """A process's part of the memory that it shares with others without any file."""
    total, counts = 0, False
    with suppress(OSError), open(f"/proc/{process_id}/smaps", errors="replace") as maps:  # noqa: PTH123 - as above
        for line in maps:
            words = line.split(maxsplit=5)
            if not words[0].endswith(":"):
                counts = words[-1].startswith(("/dev/zero (deleted)", "/SYSV"))
            elif counts and words[0] == "Pss:":
                total += int(words[1]) * 1024
    return total
