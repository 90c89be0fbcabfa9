"""State of files that changes when one is written, even if content and times are put back afterwards.

Called by test runs and by layers. It must not know why a file is watched.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def file_states(folder: Path, paths: Iterable[str]) -> dict[str, tuple[int, ...] | None]:
    """States of files by their path in a folder; `None` for a file that is missing."""
    return {path: _state(folder / path) for path in paths}


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        about = os.lstat(path)
    except OSError:
        return None
    return about.st_ino, about.st_ctime_ns, about.st_size, about.st_mode
