"""Growth of a command's folders: files with a name, and files without one that its processes hold.

Called by `process.py`. It must not know what the files are.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from phasegate.infra.sandbox.shared_memory import memory_devices
from phasegate.infra.system.process_table import members

if TYPE_CHECKING:
    from phasegate.infra.policy.model import SandboxPolicy

_BLOCK = 512
"""Unit of `st_blocks`. Source: stat(2)."""
_LEAST = 4096
"""Bytes that a file counts at least: one without content takes an inode, and a file system has so many of them."""


class Growth:
    """Growth of some folders, found without looking at every file all the time.

    Files are only looked at once the file system itself has lost room; then those count that were changed since.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Begin to watch."""
        self._folders = folders
        self._began = time.time()
        self._free = [_free_room(folder) for folder in folders]

    def exceeded(self, leader: int, policy: SandboxPolicy) -> str:
        """The limit that is exceeded, as a person reads it, or an empty string if none is.

        Args:
            leader: The process id that began the command's session.
            policy: The limits.
        """
        free = [_free_room(folder) for folder in self._folders]
        pairs = list(zip(self._free, free, strict=True))
        self._free = [(max(known[0], now[0]), max(known[1], now[1])) for known, now in pairs]
        lost = max((known[0] - now[0] + known[1] - now[1] for known, now in pairs), default=0)
        if lost < policy.disk // 2:
            return ""
        count = _Count(self._began)
        for folder in self._folders:
            count.add_folder(folder)
        for process_id in members(leader):
            count.add_nameless(process_id)
        # what hides from the count is no smaller than the room that is gone
        written = count.written if count.is_complete else max(count.written, lost)
        return f"more than {policy.disk // 1024**2} MiB written" if written > policy.disk else ""


class _Count:
    """Count of bytes; `is_complete` is false once a part cannot be looked at."""

    def __init__(self, since: float) -> None:
        self.written, self.is_complete = 0, True
        self._since = since
        self._nameless: set[tuple[int, int]] = set()

    def add_folder(self, top: Path) -> None:
        """Add what was changed below a folder; no recursion, since folders may be nested as deep as the disk allows."""
        pending = [str(top)]
        while pending:
            try:
                with os.scandir(pending.pop()) as listing:
                    for entry in listing:
                        pending += self._add_entry(entry)
            except (FileNotFoundError, NotADirectoryError):  # removed meanwhile
                continue
            except OSError:  # closed to the engine, or too deep for a path
                self.is_complete = False

    def _add_entry(self, entry: os.DirEntry[str]) -> Iterator[str]:
        with suppress(FileNotFoundError):
            about = entry.stat(follow_symlinks=False)
            if about.st_ctime >= self._since:
                self.written += max(about.st_blocks * _BLOCK, _LEAST)
            if stat.S_ISDIR(about.st_mode):
                yield entry.path

    def add_nameless(self, process_id: int) -> None:
        """Add the files without a name that a process has open; those it has mapped or sent away have no size here."""
        folder, memory = f"/proc/{process_id}", memory_devices(process_id)
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):  # ended meanwhile, or no command's
            for number in os.listdir(f"{folder}/fd"):  # noqa: PTH208 - of each process
                with suppress(FileNotFoundError):
                    self._add_open(folder, number, memory)
            with open(f"{folder}/maps", errors="replace") as maps:  # noqa: PTH123 - as above
                if any(line.endswith(" (deleted)\n") and _mapped_device(line) not in memory for line in maps):
                    self.is_complete = False

    def _add_open(self, folder: str, number: str, memory: set[int]) -> None:
        about = os.stat(f"{folder}/fd/{number}")  # noqa: PTH116 - as above
        key = (about.st_dev, about.st_ino)
        if stat.S_ISSOCK(about.st_mode):
            with open(f"{folder}/fdinfo/{number}") as info:  # noqa: PTH123 - as above
                if any(line.startswith("scm_fds:") and line.split()[1] != "0" for line in info):
                    self.is_complete = False  # files on their way from one process to another
        elif stat.S_ISREG(about.st_mode) and not about.st_nlink and about.st_dev not in memory:
            self.written += 0 if key in self._nameless else max(about.st_blocks * _BLOCK, _LEAST)
            self._nameless.add(key)


def _mapped_device(line: str) -> int:
    """Device of a file that is mapped. Source: proc(5), `maps`."""
    major, _, minor = line.split(maxsplit=4)[3].partition(":")
    return os.makedev(int(major, 16), int(minor, 16))


def _free_room(folder: Path) -> tuple[int, int]:
    """Free bytes of a folder's file system, and what its free inodes count for."""
    try:
        filesystem = os.statvfs(folder)
    except OSError:  # removed meanwhile
        return 0, 0
    return filesystem.f_bavail * filesystem.f_frsize, filesystem.f_favail * _LEAST
