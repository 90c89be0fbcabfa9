"""Memory that belongs to no process alone: files in memory, and memory that processes share.

Called by `limits.py` where no control group bounds a command's memory. It must not know what the memory holds.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

from phasegate.infra.system.process_table import members

MEMORY_FOLDERS = ("/tmp", "/dev/shm", "/run")  # noqa: S108 - each sandbox has its own
"""Folders of a sandbox that are kept in memory."""
_SHARED = "/dev/zero (deleted)\n"
"""End of a line of memory that is shared without any file. Source: proc(5), `maps`."""


def memory_devices(process_id: int) -> set[int]:
    """Devices of file systems in memory that a process of a sandbox writes to."""
    devices = {_unmounted_device()}
    with suppress(OSError):  # ended meanwhile
        if _has_own_mounts(process_id):
            devices |= {os.stat(f"/proc/{process_id}/root{place}").st_dev for place in MEMORY_FOLDERS}  # noqa: PTH116 - often
    return devices


def shared_bytes(leader: int) -> int:
    """Bytes in memory that the processes of a session share, or keep in files.

    Args:
        leader: The process id that began the session.
    """
    process_ids = list(members(leader))
    total = max((_folder_bytes(process_id) for process_id in process_ids), default=0)
    parts: dict[tuple[int, int], int] = {}
    for process_id in process_ids:
        parts |= _files_in_memory(process_id)
        for key, size in _shared_maps(process_id):
            parts[key] = max(size, parts.get(key, 0))
    return total + sum(parts.values())


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


def _shared_maps(process_id: int) -> Iterator[tuple[tuple[int, int], int]]:
    """Numbers and sizes of the memory that a process shares without any file, whether or not it has touched it."""
    with suppress(OSError), open(f"/proc/{process_id}/maps", errors="replace") as maps:  # noqa: PTH123 - often
        for line in maps:
            if line.endswith(_SHARED):
                place, _, offset, device, number, _ = line.split(maxsplit=5)
                first, _, last = place.partition("-")
                major, _, minor = device.partition(":")
                key = (os.makedev(int(major, 16), int(minor, 16)), int(number))
                yield key, int(offset, 16) + int(last, 16) - int(first, 16)
