"""A commit's files in a folder with a git directory of their own, so that tools may ask git for HEAD and tags.

Called by grading and by the deploy targets. The copy shares nothing with the user's
repository: no object file, ref, hook, remote or credential. Code that runs in the folder can spoil the copy only.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from phasegate.infra.workspace.git import Git
from phasegate.infra.workspace.objects import require_new_objects, require_tree_objects

if TYPE_CHECKING:
    from collections.abc import Collection

    from phasegate.infra.workspace.repository import Repository

_WHOLE_KIB = 64 * 1024
"""Objects of a repository, in KiB, up to which the copy has every file of the history; beyond it has commits alone."""
_CONTENT_SETTINGS = ("core.autocrlf", "core.eol", "core.symlinks", "core.filemode", "core.ignorecase")
"""Settings that decide what a checkout writes."""
CONTENTS = "pack-contents"
"""Begin of the names of packs that hold contents of files."""
_LAYOUT = ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info")


def clone(repository: Repository, commit: str, folder: Path, *, kept: Path | None = None) -> None:
    """Write a commit's files into a folder, with a git directory that knows the commit, its history and its tags.

    Args:
        repository: Holds the commit.
        commit: A commit's id; the copy's HEAD, on no branch.
        folder: Made if missing; must be empty.
        kept: Where copies of histories are kept for the next clones of changes on the same base; None: nowhere.

    Effects: where `kept` is given, one folder in it for each base.

    Raises:
        RepositoryError: There is no such commit, or some of its objects are missing or altered.
    """
    base = _base(repository, commit)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="phasegate-history-") as scratch:
        history = _history(repository, base, kept or Path(scratch))
        shutil.copytree(history, folder / ".git")
    git = Git.at(folder / ".git")
    if commit != base:
        _pack(repository, git.git_dir, [commit, f"^{base}"])
        require_new_objects(git, commit, base)
    _tag(repository, git.git_dir, "--merged", commit)
    (git.git_dir / "HEAD").write_text(f"{commit}\n")
    git.on(folder, git.git_dir / "index").output("read-tree", "--reset", "-u", commit)


def set_times(folder: Path, paths: Collection[str], timestamp: float) -> None:
    """Set the time of some files of a fresh copy, in which nothing ran yet, and let its git take note.

    Args:
        folder: The copy.
        paths: The files, by their path in it.
        timestamp: Seconds since 1970.
    """
    for path in paths:
        os.utime(folder / path, (timestamp, timestamp), follow_symlinks=False)
    git = Git.at(folder / ".git")
    git.on(folder, git.git_dir / "index").attempt("update-index", "-q", "--refresh")


def _base(repository: Repository, commit: str) -> str:
    """The commit whose history is copied in one piece: a change's parent, so that all changes on it share the copy."""
    words = repository.git.line("rev-list", "--parents", "-n", "1", commit, "--").split()
    return words[1] if len(words) == 2 else words[0]


def _history(repository: Repository, base: str, place: Path) -> Path:
    """A git directory with a commit's history; the one that is there, or a new one."""
    history = place / f"history-{base}"
    if history.is_dir():
        return history
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="history-new-", dir=place) as fresh:
        folder = Path(fresh) / "git"
        for name in _LAYOUT:
            (folder / name).mkdir(parents=True)
        (folder / "HEAD").write_text(f"{base}\n")
        (folder / "config").write_text(_configuration(repository.git))
        for name in ("shallow", "info/attributes"):
            if (repository.git.git_dir / name).is_file():
                shutil.copyfile(repository.git.git_dir / name, folder / name)
        if _is_small(repository.git):
            _pack(repository, folder, [base])
        else:
            _pack(repository, folder, repository.git.line("rev-list", base, "--").split(), revisions=False)
            _pack(repository, folder, [f"{base}^{{tree}}"])
        require_tree_objects(Git.at(folder), base)
        try:
            folder.rename(history)
        except OSError:
            if not history.is_dir():  # else another checkout of the same base was faster
                raise
    return history


def _configuration(git: Git) -> str:
    # times of files are set later, which would make git read all of them again
    lines = ["[core]", "\tbare = false", "\trepositoryformatversion = 1", "\ttrustctime = false"]
    settings = ((key, git.attempt("config", "--get", key).stdout.decode().strip()) for key in _CONTENT_SETTINGS)
    lines += [f"\t{key.partition('.')[2]} = {value}" for key, value in settings if value]
    if (form := git.line("rev-parse", "--show-object-format")) != "sha1":
        lines += ["[extensions]", f"\tobjectFormat = {form}"]
    return "\n".join(lines) + "\n"


def _is_small(git: Git) -> bool:
    """True if the whole history is copied; a partial clone has not all of it."""
    if git.attempt("config", "--get-regexp", r"^remote\..*\.promisor$").returncode == 0:
        return False
    counts = dict(line.split(": ", 1) for line in git.line("count-objects", "-v").splitlines())
    return int(counts["size"]) + int(counts["size-pack"]) <= _WHOLE_KIB


def _tag(repository: Repository, git_dir: Path, *which: str) -> None:
    """Copy the tags that lead to a commit's history."""
    command = ("for-each-ref", "--format=%(objectname) %(objecttype) %(refname)", *which, "refs/tags")
    tags = [line.split(" ", 2) for line in repository.git.lines(*command)]
    if annotated := [tag for tag, kind, _ in tags if kind == "tag"]:
        _pack(repository, git_dir, annotated, revisions=False)
    lines = [f"{tag} {name}\n" for tag, _, name in tags]
    (git_dir / "packed-refs").write_text("".join(lines), errors="surrogateescape")


def _pack(repository: Repository, git_dir: Path, objects: list[str], *, revisions: bool = True) -> None:
    """Copy objects: those named, or all that revisions lead to.

    Contents of files get a pack of their own, so that its time of access tells whether git was asked for any.
    """
    listing = "".join(f"{name}\n" for name in objects).encode()
    if revisions:
        listing = repository.git.output("rev-list", "--objects", "--stdin", stdin=listing)
    lines = [line + b"\n" for line in listing.split(b"\n") if line]  # a name of a file may hold any other sign
    names = b"".join(line.split(maxsplit=1)[0] + b"\n" for line in lines)
    kinds = repository.git.output("cat-file", "--batch-check=%(objecttype)", stdin=names).split(b"\n")
    git = repository.git.storing_in(git_dir / "objects")
    for prefix, is_content in (("pack", False), (CONTENTS, True)):
        own = [line for line, kind in zip(lines, kinds, strict=False) if (kind == b"blob") == is_content]
        if own:
            place = str(git_dir / "objects/pack" / prefix)
            git.output("pack-objects", "--quiet", "--threads=1", place, stdin=b"".join(own))
