"""View of a worktree's repository for a command: history to read, nothing to write, and no configuration.

Called by the bubblewrap backend. Only what `git status`, `diff` and `log` need is shown; the configuration, which may
hold remotes and credentials, is replaced. The folder's content is untrusted: a `.git` that names a directory is
believed only if that directory names the folder back and lies where no command could have written it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_SHOWN = ("HEAD", "objects", "refs", "packed-refs", "info", "shallow")


def git_view(folder: Path, writable: Sequence[Path], scratch: Path) -> list[str]:
    """Bwrap's arguments that show a worktree's repository, or none if the folder is no worktree.

    Args:
        folder: The workspace.
        writable: Every folder that commands may write.
        scratch: Where the replacement for the configuration is kept; hidden from commands.
    """
    records = _worktree_records(folder, writable)
    if records is None:
        return []
    common = records.parent.parent
    arguments = ["--tmpfs", str(common)]
    for shown in (*(common / name for name in _SHOWN), records, *_alternates(common / "objects")):
        if shown.exists():
            arguments += ["--ro-bind", str(shown), str(shown)]
    config = _minimal_config(common, scratch)
    return [*arguments, "--ro-bind", str(config), str(common / "config"), "--remount-ro", str(common)]


def git_link(folder: Path, writable: Sequence[Path]) -> list[str]:
    """Bwrap's arguments that keep a worktree's `.git` as it is; to come after the folder's own."""
    link = str(folder / ".git")
    return ["--ro-bind", link, link] if _worktree_records(folder, writable) else []


def _worktree_records(folder: Path, writable: Sequence[Path]) -> Path | None:
    link = folder / ".git"
    if link.is_symlink() or not link.is_file():
        return None
    named = re.fullmatch(r"gitdir: (/[^\n]+)\n?", link.read_text(errors="surrogateescape"))
    if named is None:
        return None
    records = Path(named[1])
    forgeable = any(records.resolve().is_relative_to(place.resolve()) for place in writable)
    if forgeable or records.resolve() != records or records.parent.name != "worktrees":
        return None
    backlink, common = records / "gitdir", records / "commondir"
    if not (backlink.is_file() and common.is_file() and common.read_text().strip() == "../.."):
        return None
    return records if Path(backlink.read_text(errors="surrogateescape").strip()) == link.resolve() else None


def _alternates(objects: Path) -> list[Path]:
    listed = objects / "info" / "alternates"
    if not listed.is_file():
        return []
    return [(objects / line).resolve() for line in listed.read_text(errors="surrogateescape").splitlines() if line]


def _minimal_config(common: Path, scratch: Path) -> Path:
    sha256 = re.search(r"(?im)^\s*objectformat\s*=\s*sha256", (common / "config").read_text(errors="surrogateescape"))
    text = "[core]\n\trepositoryformatversion = 1\n\tbare = false\n"
    if sha256:
        text += "[extensions]\n\tobjectFormat = sha256\n"
    config = scratch / ("git-config-sha256" if sha256 else "git-config")
    if not config.is_file():
        scratch.mkdir(parents=True, exist_ok=True)
        config.write_text(text)
    return config
