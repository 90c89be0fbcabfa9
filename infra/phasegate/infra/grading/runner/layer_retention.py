"""Removal of layers that were not used for long, or that take too much room.

Called by cleaning, while grades may be running: a layer that one of them is copying stays. It must not know how a
layer is made.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from phasegate.infra.grading.runner.layer_entries import ABOUT, STORED, USED
from phasegate.infra.system.trees import remove_tree, walk

_LEFT_BEHIND = timedelta(days=1)
"""Age from which the beginnings of a layer are taken for those of an engine that died."""


@dataclass(frozen=True)
class LayerLimits:
    """Longest time that layers of one repository are kept, and most room that they may take."""

    age: timedelta
    bytes: int


@dataclass(frozen=True)
class _Entry:
    folder: Path
    used: datetime
    bytes: int


def drop_layers(
    layers: Path, limits: Callable[[str], LayerLimits], now: datetime, *, dry_run: bool = False
) -> Iterator[tuple[Path, int]]:
    """Remove the layers that exceed their repository's limits, the longest unused first.

    Args:
        layers: The folder of all layers.
        limits: Limits by the path of a repository's git directory.
        now: The time.
        dry_run: True if nothing is to be removed.

    Yields:
        Each layer's folder, with the bytes that it took.
    """
    by_repository: dict[str, list[_Entry]] = {}
    for folder in sorted(layers.glob("*/*")):
        if (about := _about(folder)) is not None:
            by_repository.setdefault(about, []).append(
                _Entry(folder, datetime.fromtimestamp((folder / USED).stat().st_mtime, now.tzinfo), size_of(folder))
            )
    for repository, entries in by_repository.items():
        limit, kept = limits(repository), 0
        for entry in sorted(entries, key=lambda entry: entry.used, reverse=True):
            kept += entry.bytes
            is_old = now - entry.used > limit.age
            if (is_old or kept > limit.bytes) and (dry_run or _remove(entry)):
                kept -= entry.bytes
                yield entry.folder, entry.bytes
    for folder in layers.glob(".new-*"):
        if now - datetime.fromtimestamp(folder.stat().st_mtime, now.tzinfo) > _LEFT_BEHIND:
            yield folder, size_of(folder)
            if not dry_run:
                remove_tree(folder, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Bytes that a folder takes on its disk; links are not followed."""
    total = 0
    for parent, _, files in walk(folder):
        for name in files:
            with suppress(OSError):  # removed meanwhile
                total += os.lstat(Path(parent, name)).st_blocks * 512
    return total


def _about(folder: Path) -> str | None:
    """The repository that a layer belongs to, or `None` if the folder is no whole layer."""
    try:
        return STORED.validate_json((folder / ABOUT).read_bytes()).repository
    except (OSError, ValidationError):
        return None


def _remove(entry: _Entry) -> bool:
    """Remove a layer that no grade holds.

    Returns:
        True if it is gone.
    """
    gone = entry.folder.parent.with_name(f".new-{entry.folder.name}")
    try:
        with (entry.folder / USED).open() as used:
            fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(used.fileno()).st_mtime != entry.used.timestamp():
                return False  # a grade has just found it
            entry.folder.rename(gone)
    except OSError:  # held by a grade, or gone
        return False
    remove_tree(gone, ignore_errors=True)
    return True
