"""Check that git's objects are what their ids name: git itself trusts a loose object's file name.

Called where files are written from a commit, and before a merge. It must not know what the files are for. Source:
gitformat-pack(5), git-hash-object(1): an id is the digest of kind, size and content.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from phasegate.infra.errors import RepositoryError
from phasegate.infra.workspace.object_reader import ask_object, serve_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from phasegate.infra.workspace.git import Git


_REMEDY = "Find out with `git fsck` who altered the repository, and bring the object back from a clone."


def require_tree_objects(git: Git, commit: str, only: Callable[[str], bool] | None = None) -> None:
    """Require that a commit, its folders and its files are what their ids name.

    Args:
        git: On the directory whose objects are checked.
        commit: Its name, or a tree's.
        only: Tells the paths of files that count; None: all do.

    Raises:
        RepositoryError: One is not: somebody put another content in its place.
    """
    names = git.lines("rev-parse", commit, f"{commit}^{{tree}}")
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
    with serve_objects(git) as process:
        for name in names:
            known = ask_object(process, name)
            if known is None:
                raise RepositoryError(f"object {name[:12]} is missing", git_dir=git.git_dir)
            kind, content = known
            digest = hashlib.new("sha1" if len(name) == 40 else "sha256", f"{kind} {len(content)}\0".encode())
            digest.update(content)
            if digest.hexdigest() != name:
                raise RepositoryError(
                    f"object {name[:12]} of the repository has another content than its id says: it was altered",
                    remedy=_REMEDY,
                    git_dir=git.git_dir,
                )
