"""State of files that changes when one is written, even if content and times are put back afterwards.

Called by test runs and by layers. It must not know why a file is watched.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath


def file_states(folder: Path, paths: Iterable[str]) -> dict[str, tuple[int, ...] | None]:
    """States of files by their path in a folder; `None` for a file that is missing."""
    return {path: _state(folder / path) for path in paths}


class DataWatch:
    """Watch over data files of tests, and over folders above these; new files do not matter."""

    def __init__(self, folder: Path, paths: Iterable[str]) -> None:
        """Remember how they are before a run."""
        self._folder, self._files = folder, tuple(paths)
        self._above = {str(parent) for path in self._files for parent in PurePosixPath(path).parents} - {"."}
        self._before = self._states()

    def changes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Look once more, and list what is no longer as it was.

        Returns:
            Files that were written to, replaced or removed, with folders that others stand in the place of; and files
            of which nothing but the time of change is another, as after a new mode, a link or a time set back.
        """
        known, after = self._before, self._states()
        other = [path for path, state in known.items() if state and state != after[path]]
        written = tuple(path for path in other if (known[path] or ())[1:] != (after[path] or ())[1:])
        return written, tuple(sorted({*other} - {*written}))

    def _states(self) -> dict[str, tuple[int, ...] | None]:
        return dict(self._each())

    def _each(self) -> Iterator[tuple[str, tuple[int, ...] | None]]:
        for path in (*self._files, *sorted(self._above)):
            try:
                about = os.lstat(self._folder / path)
            except OSError:
                yield path, None
                continue
            kind = stat.S_IFMT(about.st_mode)
            if path in self._above:
                yield path, (0, kind, about.st_ino)
            else:
                yield path, (about.st_ctime_ns, kind, about.st_ino, about.st_size, about.st_mtime_ns)


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        about = os.lstat(path)
    except OSError:
        return None
    return about.st_ino, about.st_ctime_ns, about.st_size, about.st_mode
