"""Git repositories that tests make, as a person makes them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


def git(folder: Path, *words: str) -> str:
    """Run git in a folder as a person does.

    Returns:
        Its output, without the last line's end.
    """
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def write_files(folder: Path, files: Mapping[str, str | None]) -> None:
    """Write files by their paths in a folder; `None` removes one."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            (folder / path).unlink()
        else:
            (folder / path).write_text(content)


def first_commit(folder: Path, files: Mapping[str, str] | None = None) -> str:
    """Make a repository of a folder: all that is in it, and these files, in a first commit on `main`.

    Returns:
        The commit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder, files or {})
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "First")):
        git(folder, *words)
    return git(folder, "rev-parse", "HEAD")
