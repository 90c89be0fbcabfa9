"""Trees that untrusted commands have made: walked and removed without recursion, however deep they are.

Called by all that reads or removes such a tree. `os.walk` and `shutil.rmtree` call themselves for each folder on the
way down, and fail where there are a thousand. No link is followed. It must not know what the files are.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NAMED = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


def walk(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk a tree from its top down, as `os.walk` does.

    What cannot be read is left out, and so is a folder whose path is longer than the system takes.

    Yields:
        Path of a folder, names of the folders in it, and names of the rest. A folder that the caller takes out of its
        list is not entered.
    """
    pending = [str(top)]
    while pending:
        place = pending.pop()
        folders: list[str] = []
        files: list[str] = []
        links: set[str] = set()
        try:
            with os.scandir(place) as listing:
                for entry in listing:
                    (folders if entry.is_dir() else files).append(entry.name)
                    if entry.is_symlink():
                        links.add(entry.name)
        except OSError:
            continue
        yield place, folders, files
        pending += [os.path.join(place, name) for name in reversed(folders) if name not in links]  # noqa: PTH118 - many


def remove_tree(folder: Path, *, ignore_errors: bool = False) -> None:
    """Remove a folder and all that it holds.

    Each folder is moved to the top of the tree before it is emptied, so that no path is long and few files are open.

    Args:
        folder: What is removed; a link is none.
        ignore_errors: True to leave what cannot be removed.

    Raises:
        OSError: A part cannot be removed; the rest is.
    """
    errors: list[OSError] = []
    try:
        top = _opened(str(folder), None)
        try:
            _empty(top, errors)
        finally:
            os.close(top)
        folder.rmdir()
    except OSError as error:
        errors.append(error)
    if errors and not ignore_errors:
        raise errors[0]


def _empty(top: int, errors: list[OSError]) -> None:
    mark = f".removed-{secrets.token_hex(8)}-"
    moved = _take_apart(top, top, f"{mark}top-", errors)
    number = 0
    while moved:
        name = moved.pop()
        number += 1
        try:
            place = _opened(name, top)
            try:
                moved += _take_apart(place, top, f"{mark}{number}-", errors)
            finally:
                os.close(place)
            os.rmdir(name, dir_fd=top)
        except OSError as error:
            errors.append(error)


def _take_apart(place: int, top: int, mark: str, errors: list[OSError]) -> list[str]:
    """Remove the files of a folder, and move its folders to the top.

    Returns:
        Their new names.
    """
    with os.scandir(place) as listing:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in listing]
    names: list[str] = []
    for number, (name, is_folder) in enumerate(entries):
        try:
            if is_folder:
                os.close(_opened(name, place))  # to be moved, it has to be writable
                os.rename(name, f"{mark}{number}", src_dir_fd=place, dst_dir_fd=top)
                names.append(f"{mark}{number}")
            else:
                os.unlink(name, dir_fd=place)
        except OSError as error:
            errors.append(error)
    return names


def _opened(name: str, parent: int | None) -> int:
    """Open a folder that may be closed to its own owner."""
    named = os.open(name, _NAMED, dir_fd=parent)
    try:
        mode = stat.S_IMODE(os.fstat(named).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            Path(f"/proc/self/fd/{named}").chmod(mode | stat.S_IRWXU)
    finally:
        os.close(named)
    return os.open(name, _FOLDER, dir_fd=parent)
