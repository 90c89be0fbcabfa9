"""Files and folders of a checkout that the setup command reads, measured by their times of access.

Called by `layers`. Each time of access is put far back before the command, and looked at afterwards: a file system
notes the first read at least. Where it does not, everything counts as read. A command that only asks if a file exists
leaves no trace; `layer_fit` knows names that are asked for. It must not know what becomes of the answer.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from phasegate.infra.grading.runner.file_state import file_states
from phasegate.infra.system.trees import walk
from phasegate.infra.workspace.clone import CONTENTS

_CLONE = 0x40049409  # FICLONE: Linux's ioctl_ficlone(2)
_COMMIT = (".git/HEAD", ".git/packed-refs")
_GIT_OF_TOOLS = ("index", "config", "ORIG_HEAD", "FETCH_HEAD", "COMMIT_EDITMSG")
"""Files of a git directory that tools write to without changing what it tells of the commit."""


@dataclass(frozen=True)
class Reads:
    """Tracked files and folders that a setup command read."""

    files: frozenset[str] = frozenset()
    """Files whose content was read, or that were written to."""
    folders: frozenset[str] = frozenset()
    """Folders that were listed; the root is empty."""
    commit: bool = False
    """True if git was asked for the commit or its tags, as for a version."""
    everything: bool = False
    """True if the content of any file may have been read."""


def folders_of(paths: Collection[str]) -> set[str]:
    """Folders that hold files, those of folders included; the root is empty."""
    folders = {""}
    for path in paths:
        for parent in PurePosixPath(path).parents:
            name = "" if str(parent) == "." else str(parent)
            if name in folders:
                break
            folders.add(name)
    return folders


class ReadWatch:
    """Measurement of one setup command."""

    def __init__(self, folder: Path, tracked: Collection[str]) -> None:
        """Prepare to measure.

        Args:
            folder: The checkout.
            tracked: Paths of its commit.
        """
        self._folder = folder
        self._tracked = [path for path in tracked if not _is_folder(folder / path)]
        self._folders = folders_of(tracked)
        self._git = list(_files_below(folder / ".git"))
        self._before: dict[str, tuple[int, ...] | None] = {}
        self._git_before: dict[str, tuple[int, ...] | None] = {}
        self._after: dict[str, tuple[int, ...] | None] = {}
        self.reads = Reads(everything=True)
        self.altered: frozenset[str] = frozenset()
        """Tracked files that were written to."""
        self.is_displaced = False
        """True if a tracked file is gone, or if the git directory tells something else than before."""

    def begin(self) -> None:
        """Put all times of access back; nothing may read the checkout until the command runs."""
        self._notes, self._clones = _probe(self._folder.parent)
        for path in (*self._tracked, *self._git, *self._folders):
            _put_back(self._folder / path)
        self._before = file_states(self._folder, self._tracked)
        self._git_before = file_states(self._folder, self._git)

    def end(self) -> None:
        """Read the times of access, before anything else reads the files."""
        read = {path for path in (*self._tracked, *self._git) if _was_read(self._folder / path)}
        listed = {path for path in self._folders if _was_read(self._folder / path)}
        after = file_states(self._folder, self._tracked)
        self.altered = frozenset(path for path, state in after.items() if state != self._before[path])
        gone = [path for path, state in after.items() if state is None or not _is_same_kind(state, self._before[path])]
        self.is_displaced = bool(gone) or self._has_other_git()
        if ".git/index" in read:
            listed = self._folders  # git's list of files
        if self._clones:  # a file's blocks may be shared without being read
            read |= {path for path in self._tracked if path.rpartition("/")[0] in listed}
        contents = any(PurePosixPath(path).name.startswith(CONTENTS) and path.endswith(".pack") for path in read)
        self.reads = Reads(
            files=frozenset(read.intersection(self._tracked) | self.altered),
            folders=frozenset(listed),
            commit=any(path in _COMMIT or path.startswith(".git/refs/") for path in read),
            everything=contents or not self._notes,
        )

    def _has_other_git(self) -> bool:
        def counts(path: str) -> bool:
            name = path.removeprefix(".git/")
            return name not in _GIT_OF_TOOLS and not name.startswith(("hooks/", "logs/")) and not name.endswith(".lock")

        before = {path: state for path, state in self._git_before.items() if counts(path)}
        after = {path for path in _files_below(self._folder / ".git") if counts(path)}
        return before.keys() != after or before != file_states(self._folder, before)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_same_kind(state: tuple[int, ...], other: tuple[int, ...] | None) -> bool:
    return other is not None and stat.S_IFMT(state[-1]) == stat.S_IFMT(other[-1])


def _files_below(git_dir: Path) -> Iterator[str]:
    for parent, _, files in walk(git_dir):
        for name in files:
            yield str(Path(parent, name).relative_to(git_dir.parent))


def _put_back(path: Path) -> None:
    os.utime(path, ns=(0, os.lstat(path).st_mtime_ns), follow_symlinks=False)


def _was_read(path: Path) -> bool:
    """True if the time of access is another one, or if there is no such file any more."""
    try:
        about = os.lstat(path)
    except OSError:
        return True
    return about.st_atime_ns != 0 or (stat.S_ISREG(about.st_mode) and about.st_nlink > 1)


def _probe(folder: Path) -> tuple[bool, bool]:
    """True if the file system notes reads, of files and of folders; true if files can share blocks in it."""
    with tempfile.TemporaryDirectory(prefix="reads-", dir=folder) as name:
        place = Path(name)
        file, copy = place / "file", place / "copy"
        file.write_bytes(b"read")
        _put_back(file)
        _put_back(place)
        file.read_bytes()
        list(place.iterdir())
        notes = _was_read(file) and _was_read(place)
        with file.open("rb") as source, copy.open("wb") as target:
            try:
                fcntl.ioctl(target, _CLONE, source.fileno())
            except OSError:
                return notes, False
    return notes, True
