"""Private folder: made or checked so that its owner alone can read it, write to it, or put another in its place."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Collection
from pathlib import Path

_OTHERS = 0o077
_OTHERS_WRITE = 0o022
_PRIVATE, _READABLE = 0o700, 0o755
_MOST_LINKS = 40
_WHOLE_UID_MAP = ["0", "0", "4294967295"]


class NotPrivateError(Exception):
    """Folder that somebody else owns, could have written to, or can replace; the text says which, and why."""


def make_private(folder: Path, marks: Collection[str]) -> bool:
    """Make a folder private, with the folders above it if they are missing.

    Only a folder that is empty, or known to be ours, is closed to others: a path may be given by mistake.

    Args:
        folder: An absolute path; links in it are followed.
        marks: Names of files; a folder that holds one of them is ours.

    Returns:
        True if others could read it, which they no longer can.

    Raises:
        NotPrivateError: It is not safe, and closing it now would not help.
        OSError: It cannot be made.
    """
    for missing in [parent for parent in reversed(folder.parents) if not parent.exists()]:
        missing.mkdir(mode=_READABLE, exist_ok=True)
    folder.mkdir(mode=_PRIVATE, exist_ok=True)
    for place in _ways(folder):
        for link in _links(place):
            _check_owner(link, link.lstat())
        for parent in place.parents:
            _check_parent(parent, parent.stat())
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise NotPrivateError(f"{folder} belongs to {_user(status.st_uid)}")
    if not status.st_mode & _OTHERS:
        return False
    names = {entry.name for entry in folder.iterdir()}
    if names and status.st_mode & _OTHERS_WRITE:
        raise NotPrivateError(f"others could write to {folder} (mode {_mode(status)}), and it is not empty")
    if names and not names & set(marks):
        raise NotPrivateError(f"others can read {folder} (mode {_mode(status)}), and it holds something else")
    folder.chmod(_PRIVATE)
    return True


def make_folder_in(folder: Path) -> None:
    """Make a folder below a private one.

    Raises:
        NotPrivateError: A link is in its place, which leads out.
        OSError: It cannot be made.
    """
    if folder.is_symlink():
        raise NotPrivateError(f"{folder} is a link")
    folder.mkdir(mode=_PRIVATE, exist_ok=True)


def _ways(folder: Path) -> list[Path]:
    """The paths that lead to a folder: its own, and those that the links in it name, to the last."""
    ways: list[Path] = []
    waiting = [folder]
    while waiting and len(ways) < _MOST_LINKS:
        way = waiting.pop()
        ways.append(way)
        targets = [link.parent / link.readlink() / way.relative_to(link) for link in _links(way)]
        waiting += [Path(os.path.normpath(target)) for target in targets]
    return [*ways, folder.resolve()]


def _links(place: Path) -> list[Path]:
    return [part for part in (place, *place.parents) if part.is_symlink()]


def _check_owner(place: Path, status: os.stat_result) -> None:
    if status.st_uid not in {0, os.geteuid()} and not _is_unknown_here(status.st_uid):
        raise NotPrivateError(f"{place}, on the way to it, belongs to {_user(status.st_uid)}")


def _check_parent(folder: Path, status: os.stat_result) -> None:
    """Check a folder above: whoever may write there can put another folder in the place of ours."""
    _check_owner(folder, status)
    writable = status.st_mode & _OTHERS_WRITE
    if writable and not status.st_mode & stat.S_ISVTX and not _is_own_group_alone(status):
        raise NotPrivateError(f"others can write to {folder}, above it (mode {_mode(status)})")


def _is_own_group_alone(status: os.stat_result) -> bool:
    """True if only the group may write, and it is the owner's own, as systems with a group per user make it."""
    if status.st_mode & stat.S_IWOTH:
        return False
    try:
        owner, group = pwd.getpwuid(status.st_uid), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return group.gr_gid == owner.pw_gid and group.gr_name == owner.pw_name and set(group.gr_mem) <= {owner.pw_name}


def _is_unknown_here(uid: int) -> bool:
    """True for the owner of what belongs to nobody of this user namespace: the system's own files in a container."""
    if Path("/proc/self/uid_map").read_text().split() == _WHOLE_UID_MAP:
        return False
    return uid == int(Path("/proc/sys/kernel/overflowuid").read_text())


def _user(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


def _mode(status: os.stat_result) -> str:
    return f"{stat.S_IMODE(status.st_mode):04o}"
