"""Worktree of a run: made once, set up once, and prepared while a person still thinks.

Held by `RunContext`. The preparation is no part of any attempt: after a crash it is found or made again, and
`discard_unused` removes it after a no. This module must not know what an agent does there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from phasegate.infra.errors import PhasegateError
from phasegate.infra.system.threads import uninterrupted
from phasegate.infra.workspace import Workspace

_log = logging.getLogger(__name__)


class RunWorktree:
    """Worktree of a run in one pass over the pipeline."""

    def __init__(
        self, folder: Path, create: Callable[[], Workspace], set_up: Callable[[Path], Awaitable[None]]
    ) -> None:
        """Keep what is needed to make it, without making it.

        Args:
            folder: The worktree's folder.
            create: Makes it, or finds it made; blocks.
            set_up: Runs the project's setup command in a folder.
        """
        self._folder, self._create, self._set_up = folder, create, set_up
        self._readying: asyncio.Task[None] | None = None
        self._ready: Workspace | None = None
        self._untouched = ""

    async def open(self) -> Workspace:
        """The worktree, perhaps not set up."""
        await self._until_ready()
        return await uninterrupted(self._create)

    async def set_up(self) -> Workspace:
        """The worktree, set up once.

        Raises:
            SetupFailed: The setup command failed.
        """
        await self._until_ready()
        if self._ready is not None and self._ready.is_there():
            return self._ready
        return await self._make()

    def take_clean_commit(self) -> str:
        """Give the commit that the files equal, once, to the first caller.

        Returns:
            The commit, or an empty text if it is unknown or was given already.
        """
        commit, self._untouched = self._untouched, ""
        return commit

    def prepare(self) -> asyncio.Task[None]:
        """Start to make it and to set it up; every call returns the same task."""
        if self._readying is None:
            self._readying = asyncio.create_task(self._get_ready())
        return self._readying

    async def discard_unused(self) -> None:
        """Discard the worktree of a run that no agent has worked for; does nothing if there is none.

        Effects: folder, branch and the mark of the base commit are gone.
        """
        if self._readying is not None:
            self._readying.cancel()
        await self._until_ready()
        self._ready = None
        if self._folder.exists():
            self._mark.unlink(missing_ok=True)
            await uninterrupted(lambda: self._create().discard())

    async def _get_ready(self) -> None:
        try:
            workspace = await self._make()
            untouched = await uninterrupted(workspace.untouched)
        except PhasegateError as error:
            _log.info("%s is made when it is needed: %s", self._folder, error)
        else:
            self._ready, self._untouched = workspace, untouched or ""

    async def _make(self) -> Workspace:
        workspace = await uninterrupted(self._create)
        if not self._mark.exists():
            await self._set_up(workspace.folder)
            self._mark.touch()
        return workspace

    async def _until_ready(self) -> None:
        if self._readying is not None:
            await asyncio.wait({self._readying})

    @property
    def _mark(self) -> Path:
        return self._folder.with_name("work.is-set-up")
