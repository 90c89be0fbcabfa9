"""Overlay mounts: a folder seen beneath a workspace, for one command, without a copy of it.

Called by the bubblewrap backend, and where code decides between a mount and a copy. The mount stands in a namespace of
the command's own: no other process sees it, and it ends with the command. It must not know what the folder holds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = 'while [ "$1" != -- ]; do mount -t overlay overlay -o "$1" "$2" || exit 125; shift 2; done; shift; exec "$@"'
_TRIAL_SECONDS = 20
_TRIED: dict[int, str] = {}
"""Problem per device of a file system, or an empty string if there is none."""


@dataclass(frozen=True)
class Mount:
    """A folder, and what is seen beneath it.

    Attributes:
        folder: Takes what is written; two neighbours whose names begin like its own are used for the mount.
        beneath: Read only, the uppermost first.
    """

    folder: Path
    beneath: tuple[Path, ...]

    @property
    def mountpoint(self) -> Path:
        """Place at which a command sees all of it; the folder itself where there is nothing beneath."""
        return self._beside("seen") if self.beneath else self.folder.absolute()

    def words(self) -> list[str]:
        """Options and place of the mount.

        Effects: two folders beside the first one.
        """
        work = self._beside("work")
        for place in (self.mountpoint, work):
            place.mkdir(exist_ok=True)
        lower = ":".join(map(_escaped, self.beneath))
        folder = self.folder.absolute()
        return [f"lowerdir={lower},upperdir={_escaped(folder)},workdir={_escaped(work)}", str(self.mountpoint)]

    def _beside(self, name: str) -> Path:
        folder = self.folder.absolute()
        return folder.with_name(f"{folder.name}-{name}")


def mounted(mounts: Iterable[Mount]) -> list[str]:
    """Return the words that run a command with folders mounted, or none if nothing lies beneath any.

    Effects: as of each mount.
    """
    words = [word for mount in mounts if mount.beneath for word in mount.words()]
    return [_program("unshare"), "-m", "--", "/bin/sh", "-c", _SCRIPT, "sh", *words, "--"] if words else []


def overlays_work(place: Path) -> bool:
    """True if a folder below a place can be the upper one of an overlay mount; tried once for each file system.

    Args:
        place: A folder.
    """
    return not overlay_problem(place)


def overlay_problem(place: Path) -> str:
    """Reason why no folder below a place can be the upper one of an overlay mount, or an empty string if one can."""
    if os.geteuid() != 0:
        return "the engine is not root"  # a user's own namespace would make the command root, and tests can tell
    missing = [name for name in ("unshare", "mount") if not shutil.which(name)]
    if missing:
        return f"there is no {' and no '.join(missing)} on PATH"
    device = place.stat().st_dev
    if device not in _TRIED:
        _TRIED[device] = _problem(place)
    return _TRIED[device]


def copies_share_blocks(place: Path) -> bool:
    """True if a copy of a file below a place takes no room until one of the two is written to."""
    with tempfile.TemporaryDirectory(prefix="copy-", dir=place) as scratch:
        file = Path(scratch, "file")
        file.write_bytes(b"content")
        return _succeeds(["cp", "--reflink=always", "--", str(file), str(file.with_name("copy"))])


def _problem(place: Path) -> str:
    with tempfile.TemporaryDirectory(prefix="overlay-", dir=place) as scratch:
        folder, beneath = Path(scratch, "upper"), Path(scratch, "lower")
        folder.mkdir()
        beneath.mkdir()
        (beneath / "file").touch()
        mount = Mount(folder, (beneath,))
        if _succeeds([*mounted([mount]), "test", "-f", str(mount.mountpoint / "file")]):
            return ""
        return f"{place} is on a file system that cannot be written to through an overlay, or mounts are forbidden"


def _succeeds(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TRIAL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _program(name: str) -> str:
    return shutil.which(name) or name


def _escaped(path: Path) -> str:
    return "".join(f"\\{character}" if character in "\\,:" else character for character in str(path))
