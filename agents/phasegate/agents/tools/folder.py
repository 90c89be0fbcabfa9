"""The one folder an agent may look at, and where its paths end. Knows nothing of models or stages."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from phasegate.agents.tools.failure import ToolDenied

_LONGEST_NAME = 255
_GIT_NAME = re.compile(r"(?:\.git|git~1)[ .]*", re.IGNORECASE)  # and what some file systems take for it


class Folder:
    """A folder whose files are named by relative paths; no path leads out of it."""

    def __init__(self, root: Path) -> None:
        """Look at a folder that exists."""
        self.root = root.resolve()

    def inside(self, path: str) -> Path:
        """The file or folder an agent means.

        Raises:
            ToolDenied: No file can have this name; or it leads out of the folder, by `..`, from `/` or through a link,
                or into `.git`.
        """
        relative = PurePosixPath(path or ".")
        if "\0" in path or any(len(part.encode(errors="replace")) > _LONGEST_NAME for part in relative.parts):
            raise ToolDenied(f"{path[:80]}: no file can have this name")
        if relative.is_absolute():
            raise ToolDenied(f"{path}: give a path relative to the repository's root")
        try:
            resolved = (self.root / relative).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # links that lead to each other, names that are no text
            raise ToolDenied(f"{path[:200]}: {error}") from error
        if not resolved.is_relative_to(self.root):
            raise ToolDenied(f"{path}: outside the repository")
        if any(_GIT_NAME.fullmatch(part) for part in resolved.relative_to(self.root).parts):
            raise ToolDenied(f"{path}: git's own files are not yours to touch")
        return resolved

    def name(self, path: Path) -> str:
        """The relative name of something inside."""
        return path.relative_to(self.root).as_posix()
