"""The files that releases are made from: a clean checkout each. Used by the targets that keep them on this machine."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from phasegate.infra.deploy.service_folder import ServiceFolder
from phasegate.infra.system.trees import remove_tree

_HISTORY = "git"
"""Name of the folder, beside a release's files, that has the git directory of the checkout."""


async def nothing(source: Path) -> None:
    """Prepare nothing."""


async def no_files() -> Path:
    """Stand for the files of a target that runs no command of the team."""
    raise AssertionError("a target without commands of the team asked for a commit's files")


class Sources:
    """The checkouts of one service's releases."""

    def __init__(
        self,
        folder: ServiceFolder,
        checkout: Callable[[str, Path], None],
        prepare: Callable[[Path], Awaitable[None]] = nothing,
    ) -> None:
        """Say how one is made.

        Args:
            folder: Where they are.
            checkout: Writes a commit's files into a folder that does not exist yet; run in a thread.
            prepare: Sets a fresh checkout up, once.
        """
        self._folder = folder
        self._checkout = checkout
        self._prepare = prepare

    async def ensure(self, release_id: str, commit: str) -> Path:
        """Check out and prepare a release, unless that was finished before.

        Returns:
            Its folder.
        """
        home = self._folder.release(release_id)
        source = home / "source"
        if not (home / "ready").exists():
            await self.drop(release_id)
            home.mkdir(parents=True, exist_ok=True)
            await asyncio.to_thread(self._checkout, commit, source)
            await self._prepare(source)
            await asyncio.to_thread(_set_history_aside, source, home / _HISTORY)
            (home / "ready").touch()
        return source

    async def drop(self, release_id: str) -> None:
        """Remove a release's files; its log stays."""
        home = self._folder.release(release_id)
        (home / "ready").unlink(missing_ok=True)
        for name in ("source", _HISTORY):
            if (home / name).exists():
                await asyncio.to_thread(remove_tree, home / name)


def _set_history_aside(source: Path, history: Path) -> None:
    """Move a checkout's git directory out of it, and leave a link: a service may hand out the files of its folder."""
    own = source / ".git"
    if own.is_dir() and not own.is_symlink():
        shutil.move(own, history)
        own.write_text(f"gitdir: ../{history.name}\n")
