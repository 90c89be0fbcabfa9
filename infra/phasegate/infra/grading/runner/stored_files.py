"""Files on disk: results of runs are written whole or not at all, and what is put into a checkout follows no link.

Called where results of a run on a base commit are kept, or files are put among untrusted ones. It must not know what a
file holds.
"""

from __future__ import annotations

import os
from pathlib import Path


def store(path: Path, content: bytes) -> None:
    """Replace a file by another content, in one step.

    Args:
        path: The file; folders above it are made, for their owner alone.
        content: All of it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)


def write_new(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file that is not there yet, into a folder whose content is untrusted: never through a link.

    Args:
        path: The file.
        content: All of it.
        mode: Its permissions, whatever the process's mask is.

    Raises:
        FileExistsError: Something has that name.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
