"""Overlay mounts: a folder seen beneath a workspace, for one command, without a copy of it.

Called by the bubblewrap backend and by whoever decides between a mount and a copy. The mount stands in a namespace of
the command's own, so nobody else sees it and it goes with the command. It must not know what the folder holds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

_SCRIPT = 'mount -t overlay overlay -o "$1" "$2" || exit 125; shift 2; exec "$@"'
_TRIAL_SECONDS = 20
_TRIED: dict[int, bool] = {}
"""Outcome per device of a file system."""


def mounted(folder: Path, beneath: Path | None) -> tuple[Path, list[str]]:
    """Place at which a folder is seen with another one beneath it, and the words that run a command there.

    Args:
        folder: Takes what is written; its neighbours of the names `seen` and `seen-work` are used for the mount.
        beneath: Read only; `None`: nothing is mounted.

    Effects: two folders beside the first one.
    """
    folder = folder.absolute()
    if beneath is None:
        return folder, []
    seen, work = folder.with_name("seen"), folder.with_name("seen-work")
    seen.mkdir(exist_ok=True)
    work.mkdir(exist_ok=True)
    options = f"lowerdir={_escaped(beneath)},upperdir={_escaped(folder)},workdir={_escaped(work)}"
    return seen, [_program("unshare"), "-m", "--", "/bin/sh", "-c", _SCRIPT, "sh", options, str(seen)]


def overlays_work(place: Path) -> bool:
    """True if a folder below a place can be the upper one of an overlay mount; tried once for each file system.

    Args:
        place: A folder.
    """
    device = place.stat().st_dev
    if device not in _TRIED:
        _TRIED[device] = _is_mounted(place)
    return _TRIED[device]


def _is_mounted(place: Path) -> bool:
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("mount"):
        return False  # a user's own namespace would make the command root, and tests can tell
    with tempfile.TemporaryDirectory(prefix="overlay-", dir=place) as scratch:
        folder, beneath = Path(scratch, "upper"), Path(scratch, "lower")
        folder.mkdir()
        beneath.mkdir()
        (beneath / "file").touch()
        seen, words = mounted(folder, beneath)
        return _succeeds([*words, "test", "-f", str(seen / "file")])


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
