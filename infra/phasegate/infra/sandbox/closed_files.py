"""Closed files: what an ordinary user of the machine may not read, sockets, and secrets beside programs.

Called by the bubblewrap backend, which hides them from commands. The user of the engine owns many of these files, root
above all, so their mode alone keeps nobody out inside. It must not know how a file is hidden.
"""

from __future__ import annotations

import os
import re
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from phasegate.infra.errors import SandboxMissing

CREDENTIALS = (".netrc", ".npmrc", ".pypirc", ".git-credentials", "credentials", "credentials.toml")
"""Files that are not shown even at the top of a toolchain's folder."""
_SECRETS = re.compile(r"\.env(\..+)?|\.envrc|\.netrc|\.git-credentials|id_(rsa|dsa|ecdsa|ed25519)(_sk)?")
_KEYS = re.compile(r".+\.(key|p12|pfx|jks|keystore)")
"""Names of private keys; deeper in a toolchain they are data of packages."""
_PRIVATE_FOLDERS = frozenset({".git", ".hg", ".svn", ".ssh", ".gnupg", ".aws", ".kube", ".docker"})
_OPEN_FOLDER = stat.S_IROTH | stat.S_IXOTH
_MOST_ENTRIES = 200_000
"""Entries of a folder that are looked at; a larger one is closed as a whole."""
_MOST_CLOSED = 1_000
"""Closed files that are hidden each by itself; bwrap takes 9,000 words."""
_SHALLOW = 3
_AGE_PER_COST = 100
"""A look may take a hundredth of the time."""
_FULL_SECONDS = 300.0
"""After this time modes are read again: a change of them leaves no mark on the folder."""


class Tree(NamedTuple):
    """Folder, or file, that commands see."""

    top: Path
    is_deep: bool = False
    """True to look at all of it; else three folders deep."""


class Closed(NamedTuple):
    """Closed files and folders, none below another."""

    files: tuple[str, ...]
    folders: tuple[str, ...]


class _Entry(NamedTuple):
    name: str
    is_folder: bool


class _Folder(NamedTuple):
    """Folder as it was read."""

    stamp: tuple[int, int]
    read_at: float
    entries: int
    closed: tuple[_Entry, ...]
    below: tuple[str, ...]
    has_socket: bool


_EMPTY = _Folder((0, 0), 0.0, 0, (), (), has_socket=False)
_KNOWN: dict[tuple[str, bool, bool], _Folder] = {}


@dataclass
class ClosedFiles:
    """Closed files of some trees, looked for again from time to time.

    Attributes:
        trees: Where.
        apart: Folder that is not looked at: phasegate's own, which is hidden as a whole.
        used: Folders with programs; these and all above them are never closed as a whole.
    """

    trees: Sequence[Tree]
    apart: Path
    used: Iterable[Path]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: Closed | None = None
    _began: float = 0.0
    _cost: float = 0.0

    def current(self, *, again: bool = False) -> Closed:
        """Return the closed files that are there at this moment; `again`: look for them again in any case."""
        with self._lock:
            now = time.monotonic()
            if again or self._closed is None or now - self._began > _AGE_PER_COST * self._cost:
                self._closed = self._look()
                self._began, self._cost = now, time.monotonic() - now
            return Closed(*(tuple(filter(os.path.lexists, places)) for places in self._closed))

    def _look(self) -> Closed:
        kept = {tree.top for tree in self.trees} | set(self.used)
        kept |= {parent for place in kept for parent in place.parents}
        closed = dict(entry for tree in self.trees for entry in _closed_in(tree, self.apart, kept))
        while len(closed) > _MOST_CLOSED:
            closed = _gathered(closed, kept)
        outermost = [path for path in closed if not any(closed.get(parent) for parent in path.parents)]
        return Closed(
            tuple(sorted(str(path) for path in outermost if not closed[path])),
            tuple(sorted(str(path) for path in outermost if closed[path])),
        )


def _gathered(closed: dict[Path, bool], kept: set[Path]) -> dict[Path, bool]:
    """Close the folder that holds most of them.

    Raises:
        SandboxMissing: All of them are in folders that commands need.
    """
    counts = Counter(path.parent for path in closed if path.parent not in kept)
    if not counts:
        example = next(iter(closed))
        raise SandboxMissing(
            f"more than {_MOST_CLOSED} files are closed to other users in folders of programs, such as {example}",
            remedy="Move them out of the folders of programs.",
        )
    fullest = counts.most_common(1)[0][0]
    rest = {path: is_folder for path, is_folder in closed.items() if not path.is_relative_to(fullest)}
    return rest | {fullest: True}


def _closed_in(tree: Tree, apart: Path, kept: set[Path]) -> Iterator[tuple[Path, bool]]:
    if not tree.top.is_dir():
        return
    by_mode = tree.top.stat().st_mode & _OPEN_FOLDER == _OPEN_FOLDER
    top = _read(tree.top, by_mode=by_mode, is_top=True)
    yield from ((tree.top / entry.name, entry.is_folder) for entry in top.closed)
    for name in top.below:
        yield from _closed_below(tree.top / name, tree, apart, kept, by_mode=by_mode)


def _closed_below(
    unit: Path, tree: Tree, apart: Path, kept: set[Path], *, by_mode: bool
) -> Iterator[tuple[Path, bool]]:
    """Closed files of a folder at the top of a tree."""
    closed: list[tuple[Path, bool]] = []
    pending, entries = [(unit, 1)], 0
    while pending:
        place, depth = pending.pop()
        if place == apart:
            continue
        folder = _read(place, by_mode=by_mode)
        if folder.has_socket and place not in kept:  # its service may make it anew, which no mask of a file outlives
            closed.append((place, True))
            continue
        entries += folder.entries
        if entries > _MOST_ENTRIES and unit not in kept:
            yield unit, True
            return
        closed += [(place / entry.name, entry.is_folder) for entry in folder.closed]
        if tree.is_deep or depth < _SHALLOW:
            pending += [(place / name, depth + 1) for name in folder.below]
    yield from closed


def _read(place: Path, *, by_mode: bool, is_top: bool = False) -> _Folder:
    """Read a folder, or recall it: what was made or removed in it has left a mark."""
    key = (str(place), by_mode, is_top)
    known = _KNOWN.get(key)
    try:
        about = place.stat()
        stamp = (about.st_mtime_ns, about.st_ctime_ns)
        if known and known.stamp == stamp and time.monotonic() - known.read_at < _FULL_SECONDS:
            return known
        folder = _folder(place, stamp, by_mode=by_mode, is_top=is_top)
    except OSError:  # removed meanwhile, or closed to the engine and so to commands
        return _EMPTY
    _KNOWN[key] = folder
    return folder


def _folder(place: Path, stamp: tuple[int, int], *, by_mode: bool, is_top: bool) -> _Folder:
    closed: list[_Entry] = []
    below: list[str] = []
    entries, has_socket = 0, False
    with os.scandir(place) as listing:
        for entry in listing:
            entries += 1
            if entry.is_symlink():
                continue
            mode = entry.stat(follow_symlinks=False).st_mode
            is_folder = stat.S_ISDIR(mode)
            has_socket |= stat.S_ISSOCK(mode)
            if _is_closed(entry.name, mode, by_mode=by_mode, is_top=is_top):
                closed.append(_Entry(entry.name, is_folder))
            elif is_folder:
                below.append(entry.name)
    return _Folder(stamp, time.monotonic(), entries, tuple(closed), tuple(below), has_socket)


def _is_closed(name: str, mode: int, *, by_mode: bool, is_top: bool) -> bool:
    if stat.S_ISDIR(mode):
        return name in _PRIVATE_FOLDERS or (by_mode and mode & _OPEN_FOLDER != _OPEN_FOLDER)
    if not stat.S_ISREG(mode) or (by_mode and not mode & stat.S_IROTH) or _SECRETS.fullmatch(name):
        return True
    return is_top and (name in CREDENTIALS or _KEYS.fullmatch(name) is not None)
