"""Leftovers of a command that phasegate takes away: set-user-ID bits, closed folders, folders too deep for git.

Called once all processes of a command have ended, and for a workspace whose engine was killed before that. It must not
know what the command was for.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from phasegate.infra.system.trees import remove_tree

DEEPEST = 128
"""Folders that may lie one in another; git and the engine take time by the square of it."""
_LONGEST_PATH = 2_000
"""Bytes of a folder's path below the workspace; a system takes 4,096 in all."""
_SET_ID = stat.S_ISUID | stat.S_ISGID
_NOTES = 20
"""Notes that are kept of one command."""


def mend(folders: Iterable[Path]) -> tuple[str, ...]:
    """Take away what harms whoever reads these folders later.

    - A file loses its set-user-ID and set-group-ID bits: of a root engine it would make its caller root.
    - A folder that its own owner may not read is opened to it.
    - A folder that lies deeper than `DEEPEST`, or whose path is too long for git, is removed.

    Returns:
        What was changed, a sentence each, and how many more there were.
    """
    notes: list[str] = []
    count = 0
    for folder in folders:
        for note in _mended(str(folder)):
            count += 1
            notes += [note] if len(notes) < _NOTES else []
    return (*notes, *([f"{count - _NOTES} more were mended"] if count > _NOTES else []))


def _mended(top: str) -> Iterator[str]:
    pending = [top]
    while pending:
        place = pending.pop()
        try:
            with os.scandir(place) as listing:
                entries = list(listing)
        except PermissionError:
            if _opened(place):
                yield f"{_name(place, top)} was closed to its owner, and was opened"
                pending.append(place)
            continue
        except OSError:  # gone, or no folder
            continue
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield from _mended_file(entry, top)
            elif _is_too_deep(entry.path, top):
                remove_tree(Path(entry.path), ignore_errors=True)
                yield f"a folder below {_name(place, top)[:80]}… was nested too deep, and was removed"
            else:
                pending.append(entry.path)


def _is_too_deep(path: str, top: str) -> bool:
    below = os.fsencode(path)[len(os.fsencode(top)) :]
    return len(below) > _LONGEST_PATH or below.count(b"/") > DEEPEST


def _mended_file(entry: os.DirEntry[str], top: str) -> Iterator[str]:
    with suppress(FileNotFoundError):
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISREG(mode) and mode & _SET_ID:
            os.chmod(entry.path, stat.S_IMODE(mode) & ~_SET_ID)  # noqa: PTH101 - of many entries, one
            yield f"{_name(entry.path, top)} would have run as its owner or group, and lost that bit"


def _opened(place: str) -> bool:
    """True if a folder belongs to the engine's user and was closed to it."""
    about = os.lstat(place)
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & stat.S_IRWXU == stat.S_IRWXU:
        return False
    os.chmod(place, stat.S_IMODE(about.st_mode) | stat.S_IRWXU)  # noqa: PTH101 - as above
    return True


def _name(path: str, top: str) -> str:
    """Name of a file for a note; what cannot be printed is replaced."""
    return "".join(character if character.isprintable() else "?" for character in os.path.relpath(path, top))
