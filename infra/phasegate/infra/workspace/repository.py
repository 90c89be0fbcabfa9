"""The user's repository: what a run starts from, read without touching anything the user has there.

Called by intake, the stages and grading. It must not know of runs' folders (`workspace.py`) or of merging.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from phasegate.infra.errors import RepositoryError
from phasegate.infra.workspace.git import Git, clean_environment, failure_message, run_git
from phasegate.infra.workspace.object_reader import ObjectReader
from phasegate.infra.workspace.objects import require_tree_objects
from phasegate.infra.workspace.snapshot import checkout, reinstate

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence


_WHOLE_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LISTS_KNOWN = 16
"""Of a large repository, one list of files is a few megabytes."""


@dataclass(frozen=True)
class BaseCommit:
    """Base of a run: its branch and commit."""

    branch: str
    """The base branch, as people call it."""
    commit: str


@dataclass(frozen=True)
class Repository:
    """A git repository that a run can start from.

    Attributes:
        top: The top folder of the user's working tree.
        git_dir: The git directory of that working tree, with the user's HEAD and index.
        git: git on the directory that all working trees share.
    """

    top: Path
    git_dir: Path
    git: Git
    _known: dict[tuple[str, ...], list[str]] = field(
        default_factory=dict[tuple[str, ...], list[str]], repr=False, compare=False
    )
    _reader: ObjectReader = field(default_factory=ObjectReader, repr=False, compare=False)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Find the repository that a folder belongs to.

        Raises:
            RepositoryError: No such folder; no git repository; bare; without a commit; owned by another user.
        """
        if not path.is_dir():
            raise RepositoryError(f"there is no folder {path}", remedy="Name the folder of a git repository.")
        command = ("rev-parse", "--path-format=absolute", "--is-bare-repository", "--absolute-git-dir")
        done = run_git((*command, "--git-common-dir"), _user_environment(), path)
        if done.returncode != 0:
            remedy = "Run `git init` and commit there, or name another folder."
            if b"dubious ownership" in done.stderr:
                remedy = "Follow git's advice, or run phasegate as the folder's owner."
            raise RepositoryError(f"{path} is not a git repository: {failure_message(done)}", remedy=remedy)
        bare, git_dir, common_dir = done.stdout.decode(errors="surrogateescape").rstrip("\n").split("\n")
        inside = run_git(("rev-parse", "--show-toplevel"), _user_environment(), path)
        if bare == "true" or inside.returncode != 0:
            raise RepositoryError(f"{path} is bare: it has no working tree", remedy="Clone it and name the clone.")
        top = Path(inside.stdout.decode(errors="surrogateescape").rstrip("\n"))
        repository = cls(top, Path(git_dir), Git.at(Path(common_dir)))
        if not repository._own.resolve("HEAD") and not repository.branches():
            raise RepositoryError(f"{top} has no commit yet", remedy="Commit something first.")
        return repository

    @property
    def _own(self) -> Git:
        """Git as the user's working tree sees it: its HEAD, its index."""
        own = Git.at(self.git_dir)  # what its configuration includes may depend on the working tree
        return replace(own, work_tree=self.top)

    def branches(self) -> list[str]:
        """The local branches' names."""
        return self.git.lines("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads")

    def current_branch(self) -> str:
        """The branch the user has checked out.

        Raises:
            RepositoryError: HEAD is detached.
        """
        done = self._own.attempt("symbolic-ref", "--quiet", "--short", "HEAD")
        if done.returncode != 0:
            raise RepositoryError(
                "HEAD is detached: there is no current branch to start from",
                remedy="Name one with `project.base_branch` in phasegate.toml, or `git switch` to one.",
            )
        return done.stdout.decode(errors="surrogateescape").strip()

    def base(self, branch: str = "") -> BaseCommit:
        """The commit a run on this branch starts from.

        It is the branch's, or that of its integration branch (`phasegate/<branch>`) when this one is ahead.

        Args:
            branch: The base branch; empty: the user's current one.

        Raises:
            RepositoryError: There is no such branch, or branch and integration branch have diverged.
        """
        name = branch or self.current_branch()
        return BaseCommit(name, self.tip(name))

    def tip(self, branch: str) -> str:
        """The newer commit of a base branch and its integration branch. Raises as `base` does."""
        own = self.git.resolve(f"refs/heads/{branch}^{{commit}}")
        if own is None:
            raise RepositoryError(
                f"there is no branch {branch!r} here",
                remedy=f"Set `project.base_branch` to one of: {', '.join(self.branches())}.",
            )
        integrated = self.git.resolve(f"refs/heads/{integration_branch(branch)}^{{commit}}")
        if integrated is None or self.contains(own, integrated):
            return own
        if self.contains(integrated, own):
            return integrated
        raise RepositoryError(
            f"{branch} and {integration_branch(branch)} have diverged",
            remedy=f"Merge one into the other, for example: git switch {branch} && "
            f"git merge {integration_branch(branch)}",
        )

    def contains(self, commit: str, other: str) -> bool:
        """True if `other` is `commit` or an ancestor of it."""
        return self.git.attempt("merge-base", "--is-ancestor", other, commit).returncode == 0

    def checked_out(self) -> frozenset[str]:
        """The branches that are checked out in any of the user's working trees."""
        prefix = "branch refs/heads/"
        records = self.git.records("worktree", "list", "--porcelain", "-z")
        return frozenset(record.removeprefix(prefix) for record in records if record.startswith(prefix))

    def branch_with(self, base_branch: str, commit: str) -> str:
        """Name of the branch that has a commit: the base branch, or its integration branch if that alone has it."""
        integrated = integration_branch(base_branch)
        only_there = not self.has(base_branch, commit) and self.has(integrated, commit)
        return integrated if only_there else base_branch

    def has(self, branch: str, commit: str) -> bool:
        """True if there is such a branch, and the commit is in its history."""
        return self.contains(f"refs/heads/{branch}", commit)

    def is_dirty(self, *, besides: Path | None = None) -> bool:
        """True if the user's working tree has changes, untracked files included, that a run will not see.

        Args:
            besides: A file that does not count, such as the ticket; it may lie outside of the working tree.
        """
        paths: list[str] = []
        if besides is not None and (file := besides.parent.resolve() / besides.name).is_relative_to(self.top):
            paths = ["--", ":(top)", f":(top,exclude,literal){file.relative_to(self.top)}"]
        return bool(self._own.output("status", "--porcelain", "--ignore-submodules=all", *paths))

    def read_file(self, commit: str, path: str) -> bytes | None:
        """A file's content at a commit, or `None` if there is no such file.

        Args:
            commit: A commit's id.
            path: Relative to the repository's root.
        """
        is_read, content = self._reader.read(self.git, f"{commit}:{path}")
        if is_read:
            return content
        done = self.git.attempt("cat-file", "blob", f"{commit}:{path}")
        return done.stdout if done.returncode == 0 else None

    @contextmanager
    def reading(self) -> Generator[None]:
        """Read files by one git process for as long as the block lasts, in whatever thread."""
        self._reader.enter()
        try:
            yield
        finally:
            self._reader.leave()

    def modes(self, commit: str) -> dict[str, str]:
        """The mode of every file at a commit, as git spells it, by its path."""
        entries = (record.partition("\t") for record in self._listed((commit,), "ls-tree", "-r", "-z", commit))
        return {path: about.partition(" ")[0] for about, _, path in entries}

    def files(self, commit: str) -> list[str]:
        """Every file's path at a commit."""
        return self._listed((commit,), "ls-tree", "-r", "-z", "--name-only", commit)

    def changed(self, base: str, commit: str) -> dict[str, str]:
        """The paths that differ between two commits or trees, each with git's status letter (A, D, M, T)."""
        command = ("diff-tree", "-r", "-z", "--no-renames", "--name-status", base, commit)
        words = self._listed((base, commit), *command)
        return dict(zip(words[1::2], words[::2], strict=False))

    def _listed(self, objects: Sequence[str], *arguments: str) -> list[str]:
        """List by git; asked once if each object is named by its whole id, since the answer can never change."""
        if not all(map(_WHOLE_ID.fullmatch, objects)):
            return self.git.records(*arguments)
        records = self._known.get(arguments)
        if records is None:
            records = self._known[arguments] = self.git.records(*arguments)
            for oldest in list(self._known)[:-_LISTS_KNOWN]:
                self._known.pop(oldest, None)
        return list(records)

    def identity_email(self) -> str | None:
        """The e-mail address that the user commits with here, if git knows one."""
        done = run_git(("config", "--get", "user.email"), _user_environment(), self.top)
        return done.stdout.decode(errors="replace").strip() or None

    def export(
        self,
        commit: str,
        folder: Path,
        *,
        base: str = "",
        reinstated: Sequence[str] = (),
        only: Callable[[str], bool] | None = None,
    ) -> None:
        """Write a commit's files into a folder, over what is there, without a git directory.

        Args:
            commit: What to write.
            folder: Made if missing.
            base: Where `reinstated` paths come from.
            reinstated: Paths that are to be as in `base`, missing ones included.
            only: Tells the paths to write; if `None`, all are.

        Raises:
            RepositoryError: There is no such commit, or some of its objects are missing or altered.
        """
        require_tree_objects(self.git, commit, only)
        if reinstated:
            require_tree_objects(self.git, base, frozenset(reinstated).__contains__)
        folder.mkdir(parents=True, exist_ok=True)
        with self.private_index(folder) as git:
            git.output("read-tree", commit)
            if reinstated:
                reinstate(git, base, reinstated)
            checkout(git, only)

    @contextmanager
    def private_index(self, work_tree: Path) -> Generator[Git]:
        """Git with an index of its own that is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="phasegate-index-") as scratch:
            yield self.git.on(work_tree, Path(scratch) / "index")


def integration_branch(branch: str) -> str:
    """Name of the branch for changes to a base branch that the user has checked out."""
    return f"phasegate/{branch}"


def _user_environment() -> dict[str, str]:
    """For the questions that the user's own settings answer: whom git trusts, who the user is."""
    names = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
    return clean_environment() | {name: os.environ[name] for name in names if name in os.environ}
