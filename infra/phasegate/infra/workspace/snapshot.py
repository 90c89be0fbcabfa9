"""A folder's files as a git tree, and a git tree as a folder's files, by way of a private index.

Called by the repository and the workspace. It must not know of refs, branches or commits' meaning. The folder's
content is untrusted: nothing in it is executed, and a `.git` in it, at whatever depth, is never read.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from phasegate.infra.errors import RepositoryError
from phasegate.infra.system.trees import walk
from phasegate.infra.workspace.git import failure_message, null_terminated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from phasegate.infra.workspace.git import Git

_BY_PRODUCTS = ("__pycache__/", "*.pyc", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", "node_modules/", ".venv/")
"""Files that tools leave behind wherever they run: no part of a change, even if the repository does not ignore them."""

_NO_ENCODING = ("unspecified", "unset", "set")

# Names that git refuses on some platform because they reach a git directory there. Source: git's read-cache.c, path.c
_GIT_NAME = re.compile(r"(?:\.git|git~1)[ .]*(?::.*)?", re.IGNORECASE | re.DOTALL)
_MODULES_NAME = re.compile(r"(?:\.gitmodules|gitmod~\d|gi7eba~\d)[ .]*(?::.*)?", re.IGNORECASE | re.DOTALL)


def write_tree(git: Git, base: str, also: Iterable[str] = ()) -> str:
    """Record a folder's files: those that `base` tracks, and the untracked ones that are not ignored.

    A nested git repository's files are recorded like any others; a submodule stays as it is in `base`.

    Args:
        git: With work tree and index; what the index knows from before saves hashing files again.
        base: The commit whose files count as tracked.
        also: Paths to record even if they are ignored.

    Returns:
        The tree's id.
    """
    work_tree = _work_tree(git)
    git.output("read-tree", "--reset", base)
    changed = git.records("diff-files", "-z", "--raw", "--no-renames", "--ignore-submodules=all")
    letters = {path: meta[-1] for meta, path in zip(changed[::2], changed[1::2], strict=False)}
    present = [path for path, letter in letters.items() if letter != "D" and _is_file(work_tree, path)]
    deleted = letters.keys() - set(present)
    if deleted:
        git.output("update-index", "-z", "--force-remove", "--stdin", stdin=null_terminated(deleted))
    extra = (path for path in also if _is_file(work_tree, path))
    paths = [path for path in (*present, *_untracked(git, work_tree), *extra) if _is_allowed(work_tree, path)]
    _record(git, paths)
    return git.line("write-tree")


def special_files(git: Git) -> list[str]:
    """Sockets, pipes and devices in a folder: git records none of them. Those that are ignored do not count."""
    work_tree = _work_tree(git)
    by_products = {pattern.removesuffix("/") for pattern in _BY_PRODUCTS}
    special: list[str] = []
    for parent, folders, files in walk(work_tree):
        folders[:] = [name for name in folders if name != ".git" and name not in by_products]
        paths = (Path(parent, name) for name in files)
        special += [str(path.relative_to(work_tree)) for path in paths if _is_special(path)]
    return sorted(_not_ignored(git, special)) if special else []


def _is_special(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:  # it is gone meanwhile
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode))


def reinstate(git: Git, base: str, paths: Iterable[str]) -> None:
    """Make these paths of the index what they are in `base`: that content, or not there.

    Args:
        git: With an index.
        base: A commit or tree.
        paths: Relative to the repository's root.
    """
    wanted = set(paths)
    if not wanted:
        return
    entries: dict[str, str] = {}
    for record in git.records("ls-tree", "-r", "-z", base):
        meta, _, path = record.partition("\t")
        if path in wanted:
            mode, _, object_id = meta.split(" ")
            entries[path] = f"{mode} {object_id}\t{path}"
    git.output("update-index", "-z", "--force-remove", "--stdin", stdin=null_terminated(wanted - entries.keys()))
    kept = null_terminated(entries.values())
    git.output("update-index", "-z", "--add", "--replace", "--index-info", stdin=kept)


def checkout(git: Git, only: Callable[[str], bool] | None = None) -> None:
    """Write the index's files into the work tree, over what is there.

    Args:
        git: With work tree and index.
        only: Which paths to write; None: all.
    """
    paths = git.records("ls-files", "-z")
    wanted = [path for path in paths if only is None or only(path)]
    git.output("checkout-index", "--force", "--quiet", "-z", "--stdin", stdin=null_terminated(wanted))


def replace_files(git: Git, commit: str) -> None:
    """Make the files that the index knows equal a commit's; what the index does not know stays."""
    git.output("read-tree", "--reset", "-u", commit)


def _work_tree(git: Git) -> Path:
    if git.work_tree is None:
        raise RepositoryError("a snapshot needs a work tree")
    return git.work_tree


def _record(git: Git, paths: Sequence[str]) -> None:
    """Put files into the index; one whose content is not in the encoding that its attributes claim, as it is."""
    words = ("update-index", "-z", "--add", "--remove", "--replace", "--stdin")
    if not paths or git.attempt(*words, stdin=null_terminated(paths)).returncode == 0:
        return
    attributes = git.records("check-attr", "-z", "--stdin", "working-tree-encoding", stdin=null_terminated(paths))
    encoded = [path for path, value in zip(attributes[::3], attributes[2::3], strict=True) if value not in _NO_ENCODING]
    git.output(*words, stdin=null_terminated(set(paths) - set(encoded)))
    for path in encoded:
        if git.attempt(*words, stdin=null_terminated([path])).returncode != 0:
            file = _work_tree(git) / path
            blob = git.line("hash-object", "-w", "--no-filters", "--stdin", stdin=file.read_bytes())
            mode = "100755" if file.stat().st_mode & stat.S_IXUSR else "100644"
            entry = null_terminated([f"{mode} {blob}\t{path}"])
            git.output("update-index", "-z", "--add", "--replace", "--index-info", stdin=entry)


def _untracked(git: Git, work_tree: Path) -> Iterator[str]:
    nested: list[str] = []
    excluded = [f"--exclude={pattern}" for pattern in _BY_PRODUCTS]
    for path in git.records("ls-files", "-z", "--others", "--exclude-standard", *excluded):
        if path.endswith("/"):
            nested += _files_below(work_tree, path)
        elif path:
            yield path
    if nested:
        yield from _not_ignored(git, nested)


def _not_ignored(git: Git, paths: Sequence[str]) -> Iterator[str]:
    questions = {f"./{path}": path for path in paths}  # so that no name begins like pathspec magic
    done = git.attempt("check-ignore", "-z", "--no-index", "--stdin", stdin=null_terminated(questions))
    if done.returncode not in (0, 1):
        raise RepositoryError(f"git check-ignore failed: {failure_message(done)}")
    ignored = set(os.fsdecode(done.stdout).split("\0"))
    yield from (path for question, path in questions.items() if question not in ignored)


def _files_below(work_tree: Path, folder: str) -> Iterator[str]:
    for parent, folders, files in walk(work_tree / folder):
        below = Path(parent)
        links = [name for name in folders if (below / name).is_symlink()]
        folders[:] = [name for name in folders if name != ".git" and name not in links]
        for name in (*files, *links):
            path = str((below / name).relative_to(work_tree))
            if name != ".git" and _is_file(work_tree, path):
                yield path


def _is_file(work_tree: Path, path: str) -> bool:
    """True if a regular file or a link is there, reached through folders only."""
    target = work_tree / path
    above = target.parent
    while above != work_tree:
        if above.is_symlink():
            return False
        above = above.parent
    return target.is_symlink() or target.is_file()


def _is_allowed(work_tree: Path, path: str) -> bool:
    """True if git lets a tree hold this name; one it refuses stays in the folder and is not recorded."""
    names = re.split(r"[/\\]", path)
    if any(_GIT_NAME.fullmatch(name) for name in names):
        return False
    return not (_MODULES_NAME.fullmatch(names[-1]) and (work_tree / path).is_symlink())
