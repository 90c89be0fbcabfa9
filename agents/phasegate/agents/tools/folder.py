"""The one folder an agent may look at, and where its paths end. Knows nothing of models or stages."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from phasegate.agents.tools.failure import ToolFailure


class Folder:
    """A folder whose files are named by relative paths, and which nothing leads out of."""

    def __init__(self, root: Path) -> None:
        """Look at a folder that exists."""
        self.root = root.resolve()

    def inside(self, path: str) -> Path:
        """The file or folder an agent means.

        Raises:
            ToolFailure: The path leads out of the folder, by `..`, from `/` or through a link, or into `.git`.
        """
        relative = PurePosixPath(path or ".")
        if relative.is_absolute():
            raise ToolFailure(f"{path}: give a path relative to the repository's root")
        resolved = (self.root / relative).resolve()
        if not resolved.is_relative_to(self.root):
            raise ToolFailure(f"{path}: outside the repository")
        if ".git" in resolved.relative_to(self.root).parts:
            raise ToolFailure(f"{path}: git's own files are not yours to touch")
        return resolved

    def name(self, path: Path) -> str:
        """The relative name of something inside."""
        return path.relative_to(self.root).as_posix()
