"""The one folder an agent may look at, and where its paths end. Knows nothing of models or stages."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from phasegate.agents.tools.failure import ToolDenied

_GIT_NAME = re.compile(r"(?:\.git|git~1)[ .]*", re.IGNORECASE)  # and what some file systems take for it


class Folder:
    """A folder whose files are named by relative paths, and which nothing leads out of."""

    def __init__(self, root: Path) -> None:
        """Look at a folder that exists."""
        self.root = root.resolve()

    def inside(self, path: str) -> Path:
        """The file or folder an agent means.

        Raises:
            ToolDenied: The path leads out of the folder, by `..`, from `/` or through a link, or into `.git`.
        """
        if "\0" in path:
            raise ToolDenied("a path holds no NUL")
        relative = PurePosixPath(path or ".")
        if relative.is_absolute():
            raise ToolDenied(f"{path}: give a path relative to the repository's root")
        try:
            resolved = (self.root / relative).resolve()
        except (OSError, RuntimeError) as error:  # a name too long, links that lead to each other
            raise ToolDenied(f"{path[:200]}: {error}") from error
        if not resolved.is_relative_to(self.root):
            raise ToolDenied(f"{path}: outside the repository")
        if any(_GIT_NAME.fullmatch(part) for part in resolved.relative_to(self.root).parts):
            raise ToolDenied(f"{path}: git's own files are not yours to touch")
        return resolved

    def name(self, path: Path) -> str:
        """The relative name of something inside."""
        return path.relative_to(self.root).as_posix()
