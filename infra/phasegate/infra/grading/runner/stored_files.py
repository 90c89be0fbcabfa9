"""Results of runs on disk: each file is written whole or not at all, since an engine may die at any instant.

Called by whoever keeps what a run on a base commit told. It must not know what a file holds.
"""

from __future__ import annotations

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
