"""Folders of compilers' caches for one command: what is kept is read, and what the command writes is its own.

Called by the bubblewrap backend, before each command. An overlay is mounted where that can be, else the cache is
copied: never linked, since a write through a link would change what others read. It must not know what a cache holds.
"""

from __future__ import annotations

import subprocess

from phasegate.infra.sandbox.overlay import Mount, overlays_work
from phasegate.infra.sandbox.port import BuildCaches
from phasegate.infra.system.trees import remove_tree


def laid_caches(caches: BuildCaches) -> dict[str, Mount]:
    """Make a fresh folder for each cache in the home.

    Returns:
        Mounts by the cache's folder below HOME.

    Effects: what earlier commands wrote is removed.
    """
    remove_tree(caches.written, ignore_errors=True)
    caches.written.mkdir(parents=True)
    is_mounted = overlays_work(caches.written)
    mounts: dict[str, Mount] = {}
    for folder, kept in caches.home.items():
        place = caches.place(folder)
        place.mkdir()
        if kept is not None and not is_mounted:
            copy = ("cp", "-a", "--reflink=auto", "--", f"{kept}/.", str(place))
            subprocess.run(copy, capture_output=True, check=False)  # a part of a cache is as good as none
        mounts[folder] = Mount(place, (kept,) if kept is not None and is_mounted else ())
    return mounts
