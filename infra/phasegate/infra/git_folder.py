"""Git folder of a working tree, found by its files alone: no git process, for commands that only look."""

from __future__ import annotations

from pathlib import Path

_LONGEST = 4_096


def common_git_folder(folder: Path) -> Path | None:
    """Git folder that all working trees of a repository share.

    Args:
        folder: A folder inside a working tree.

    Returns:
        The folder with links resolved; `None` outside a working tree, and where its files cannot be read.
    """
    try:
        start = folder.resolve()
        for place in (start, *start.parents):
            if (git := place / ".git").exists():
                return _common(git if git.is_dir() else place / _content(git).removeprefix("gitdir:").strip())
    except (OSError, ValueError):
        return None
    return None


def _common(git_folder: Path) -> Path:
    shared = git_folder / "commondir"
    return (git_folder / _content(shared) if shared.is_file() else git_folder).resolve()


def _content(file: Path) -> str:
    with file.open("rb") as content:
        return content.read(_LONGEST).decode(errors="surrogateescape").strip()
