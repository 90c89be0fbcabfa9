"""The files that releases are made from: a clean checkout each. Used by the targets that keep them on this machine."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from phasegate.infra.deploy.service_folder import ServiceFolder


async def nothing(source: Path) -> None:
    """Prepare nothing."""


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
        """Check out and prepare a release, unless that was finished before; gives its folder."""
        home = self._folder.release(release_id)
        source = home / "source"
        if not (home / "ready").exists():
            await self.drop(release_id)
            home.mkdir(parents=True, exist_ok=True)
            await asyncio.to_thread(self._checkout, commit, source)
            await self._prepare(source)
            (home / "ready").touch()
        return source

    async def drop(self, release_id: str) -> None:
        """Remove a release's files; its log stays."""
        home = self._folder.release(release_id)
        (home / "ready").unlink(missing_ok=True)
        if (home / "source").exists():
            await asyncio.to_thread(shutil.rmtree, home / "source")
