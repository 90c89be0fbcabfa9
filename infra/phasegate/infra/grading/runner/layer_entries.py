"""Layers on disk: what a folder of one holds, and how it is put there whole and kept from being removed.

Called by `layers` and by the removal of layers. It must not know how a layer is made or laid.
"""

from __future__ import annotations

import fcntl
import secrets
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pydantic import TypeAdapter

from phasegate.infra.grading.runner.setup_reads import Reads
from phasegate.infra.sandbox.port import BuildCaches

ABOUT, FILES, USED = "layer.json", "files", "used"
HOME, COMPILED, OUTGROWN = "home", "compiled", "outgrown"


@dataclass(frozen=True)
class Layer:
    """Files that a setup command left behind."""

    tree: str
    """The tree that it ran on."""
    made: float
    """Time of the tracked files, in seconds since 1970; what setup made of them is newer."""
    reads: Reads
    repository: str = ""
    """Path of the git directory of the repository that it belongs to."""
    is_usable: bool = True
    """False if what it left cannot be told from the checkout, so that each one is set up by itself."""
    compiled: str = ""
    """The tree that tests compiled what its caches hold of; empty: caches hold what setup compiled, if anything."""
    compiled_at: float = 0.0
    """Time of tracked files of that tree that differ from those setup ran on, in seconds since 1970."""


STORED = TypeAdapter(Layer)


@dataclass(frozen=True)
class Found:
    """A layer, and its place."""

    layer: Layer
    folder: Path


@dataclass(frozen=True)
class Laid:
    """A layer that a checkout stands on."""

    used: tuple[TextIO, ...]
    """Open while it must not be removed."""
    found: Found
    beneath: Path | None
    """Its files, to be seen beneath the checkout; `None`: they were copied, or there are none."""
    caches: BuildCaches | None = None
    fills: bool = False
    """True if new caches are made."""
    at: float = 0.0
    """Time at which it was laid."""

    def release(self) -> None:
        """Give it free to be removed."""
        for used in self.used:
            used.close()


def new_name() -> str:
    """Name of a new layer; later ones sort behind earlier ones."""
    return f"{time.time_ns():020}-{secrets.token_hex(4)}"


def finish(fresh: Path, layer: Layer, place: Path) -> Found:
    """Put a layer whose files are complete into its place, whole."""
    (fresh / ABOUT).write_bytes(STORED.dump_json(layer))
    (fresh / USED).touch()
    fresh.rename(place)
    return Found(layer, place)


def hold(entry: Path) -> TextIO | None:
    """Keep a layer from being removed.

    Returns:
        A file that holds the layer until it is closed, or `None` if the layer is gone.
    """
    try:
        used = (entry / USED).open()
    except FileNotFoundError:
        return None
    fcntl.flock(used, fcntl.LOCK_SH)
    if entry.is_dir():
        return used
    used.close()
    return None


def copy_into(source: Path, folder: Path) -> bool:
    """Copy what a folder holds into another one. Returns true if all of it is there."""
    copy = ("cp", "-a", "--reflink=auto", "--", f"{source}/.", str(folder))
    return subprocess.run(copy, capture_output=True, check=False).returncode == 0


def kept_home(place: Path | None, folders: Collection[str]) -> dict[str, Path | None]:
    """Kept content of caches by their folder below HOME."""
    kept = {folder: place / folder for folder in folders} if place else {}
    return {folder: path if (path := kept.get(folder)) and path.is_dir() else None for folder in folders}
