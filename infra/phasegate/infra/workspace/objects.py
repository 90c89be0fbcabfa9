"""Check that git's objects are what their ids name: git itself trusts a loose object's file name.

Called where files are written from a commit, and before a merge. It must not know what the files are for. Source:
gitformat-pack(5), git-hash-object(1): an id is the digest of kind, size and content.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from phasegate.infra.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from phasegate.infra.workspace.git import Git

_AT_ONCE = 32 * 1024 * 1024
"""Bytes of contents that are held in memory at once, unless a single object has more."""


def require_tree_objects(git: Git, commit: str, only: Callable[[str], bool] | None = None) -> None:
    """Require that a commit, its folders and its files are what their ids name.

    Args:
        git: On the directory whose objects are checked.
        commit: Its id, or a tree's.
        only: Tells the paths of files that count; None: all do.

    Raises:
        RepositoryError: One is not: somebody put another content in its place.
    """
    names = [commit, git.tree_of(commit)]
    for entry in git.records("ls-tree", "-r", "-t", "-z", commit):
        about, _, path = entry.partition("\t")
        _, kind, name = about.split(" ")
        if kind == "tree" or (kind == "blob" and (only is None or only(path))):
            names.append(name)
    require_objects(git, dict.fromkeys(names))


def require_new_objects(git: Git, commit: str, base: str) -> None:
    """As `require_tree_objects`, for what a commit has and its base has not."""
    require_objects(git, git.lines("rev-list", "--objects", "--no-object-names", commit, f"^{base}", "--"))


def require_objects(git: Git, names: Iterable[str]) -> None:
    """As `require_tree_objects`, for objects by their ids."""
    asked = "".join(f"{name}\n" for name in names).encode()
    sizes = git.lines("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked)
    group, held = list[str](), 0
    for name, size in (line.split(" ", 1) for line in sizes):
        if not size.isdecimal():
            raise RepositoryError(f"object {name[:12]} is missing", git_dir=git.git_dir)
        if group and held + int(size) > _AT_ONCE:
            _check(git, group)
            group, held = [], 0
        group.append(name)
        held += int(size)
    _check(git, group)


def _check(git: Git, names: list[str]) -> None:
    written, at = git.output("cat-file", "--batch", stdin="".join(f"{name}\n" for name in names).encode()), 0
    for name in names:
        end = written.index(b"\n", at)
        _, kind, size = written[at:end].split(b" ")
        begin, at = end + 1, end + 1 + int(size) + 1
        digest = hashlib.new("sha1" if len(name) == 40 else "sha256", b"%s %s\0" % (kind, size))
        digest.update(memoryview(written)[begin : at - 1])
        if digest.hexdigest() != name:
            raise RepositoryError(
                f"object {name[:12]} of the repository has another content than its id says: it was altered",
                remedy="Find out with `git fsck` who altered the repository, and bring the object back from a clone.",
                git_dir=git.git_dir,
            )
