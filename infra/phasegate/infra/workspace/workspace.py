"""An agent's folder: a git worktree on the run's branch, its checkpoints, and the change that comes out of it.

Called by the stages that let an agent write. It must not know what the agent does, or what becomes of the change.
The folder is untrusted; what is kept of it lives in the repository under `refs/phasegate/<run>/` (P9).
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from phasegate.infra.artifacts import sha256
from phasegate.infra.errors import RepositoryError
from phasegate.infra.secrets import Secrets
from phasegate.infra.system.leftovers import mend
from phasegate.infra.system.trees import remove_tree
from phasegate.infra.workspace.change_set import ChangeSet, FileChange, FileStatus, readable
from phasegate.infra.workspace.git import RUN_TRAILER, plain_message
from phasegate.infra.workspace.leaks import leaking, masked_tree
from phasegate.infra.workspace.protection import leads_to, matches
from phasegate.infra.workspace.snapshot import checkout, reinstate, replace_files, special_files, write_tree

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from phasegate.infra.workspace.git import Git
    from phasegate.infra.workspace.repository import Repository

_STATUS: dict[str, FileStatus] = {"A": "added", "D": "deleted", "M": "modified", "T": "type-changed"}
DIFF = ("diff-tree", "-r", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")


@dataclass(frozen=True)
class Workspace:
    """The folder of one run.

    Attributes:
        repository: Whose worktree it is.
        run_id: Names the branch `phasegate/<run_id>` and the refs of the checkpoints.
        base_commit: What the run started from.
        folder: Where the agent works.
        records: git's directory for this worktree; out of the agent's reach.
        secrets: What must be kept in no commit.
    """

    repository: Repository
    run_id: str
    base_commit: str
    folder: Path
    records: Path
    secrets: Secrets = field(default_factory=Secrets, repr=False, compare=False)
    _clean: set[str] = field(default_factory=set[str], repr=False, compare=False)

    @classmethod
    def create(
        cls, repository: Repository, run_id: str, base_commit: str, folder: Path, secrets: Secrets | None = None
    ) -> Self:
        """Make the folder, or attach to the one that is there, whatever a crash left of it.

        A folder that is gone comes back as the latest checkpoint has it.

        Effects: branch `phasegate/<run_id>`, `refs/phasegate/<run_id>/base`, a worktree; idempotent by run and folder.

        Raises:
            RepositoryError: The folder holds something else, or the run began at another commit.
        """
        git, folder = repository.git, folder.absolute().resolve()
        base = git.resolve(f"{base_commit}^{{commit}}")
        if base is None:
            raise RepositoryError(f"there is no commit {base_commit} in {repository.top}")
        recorded_base = git.resolve(_ref(run_id, "base"))
        if recorded_base not in (None, base):
            raise RepositoryError(f"the workspace of {run_id} began at {recorded_base}, not at {base}", run_id=run_id)
        was_there = folder.is_dir()
        records = _find_records(git, folder)
        if records is None:
            records = _add_worktree(git, run_id, base, folder)
        workspace = cls(repository, run_id, base, folder, records, secrets or Secrets())
        mend([folder])
        workspace._attach()
        if recorded_base is None or not was_there:
            workspace._fill()
        return workspace

    @property
    def branch(self) -> str:
        """The run's branch."""
        return f"phasegate/{self.run_id}"

    def latest(self) -> str:
        """The checkpoint the folder was last equal to; the base commit before the first."""
        return self.repository.git.resolve(_ref(self.run_id, "latest")) or self.base_commit

    def checkpoint(self, stage: str, number: int) -> str:
        """Record the folder's tracked and untracked files.

        Effects: a commit under `refs/phasegate/<run>/<stage>/<number>`, unless nothing changed since the previous one.

        Returns:
            The commit, or the previous one's.
        """
        with self._index() as git:
            tree = self._write_tree(git)
        previous = self.latest()
        if self.repository.git.tree_of(previous) == tree:
            return previous
        commit = self.repository.git.write_commit(tree, [previous], f"Checkpoint {stage} {number} of {self.run_id}")
        self._point(**{f"{stage}/{number}": commit, "latest": commit})
        return commit

    def is_there(self) -> bool:
        """True if folder and records are still in their places."""
        return (self.folder / ".git").is_file() and self.records.is_dir()

    def untouched(self) -> str | None:
        """The latest checkpoint's commit, if the folder's files equal it; nothing is recorded."""
        with self._index() as git:
            tree = self._write_tree(git)
        latest = self.latest()
        return latest if self.repository.git.tree_of(latest) == tree else None

    def restore(self, commit: str) -> None:
        """Make the folder's files equal a commit's, untracked ones too; ignored files stay.

        Effects: what was there goes to `refs/phasegate/<run>/lost/<n>` first if it differed (P9).

        Raises:
            RepositoryError: There is no such commit, or an ignored file stands where a folder must go.
        """
        with self._index() as git:
            current = self._write_tree(git, self.repository.files(commit))
            if current != git.tree_of(commit):
                self._keep(current)
                replace_files(git, commit)
        self._point(latest=commit)

    def set_aside(self, number: int) -> list[str]:
        """Keep the folder's files, the way they came about and the run's branch, before the run is put back.

        Effects: refs `work`, `latest` and `branch` under `refs/phasegate/<run>/rewound/<number>/`; those that are there
        already stay as they are, so a repeat after the files were put back loses nothing.

        Returns:
            The refs' names.
        """
        git, latest = self.repository.git, self.latest()
        with self._index() as own:
            tree = self._write_tree(own)
        work = git.write_commit(tree, [latest], f"What {self.run_id} had in its folder before rewind {number}")
        commits = {"work": work, "latest": latest, "branch": git.line("rev-parse", f"refs/heads/{self.branch}")}
        names = {f"rewound/{number}/{name}": commit for name, commit in commits.items()}
        fresh = {name: at for name, at in names.items() if git.resolve(_ref(self.run_id, name)) is None}
        if fresh:
            self._point(**fresh)
        return [_ref(self.run_id, name) for name in names]

    def collect(
        self, base_commit: str, protected: Sequence[str], message: str, authority: Sequence[str] = ()
    ) -> ChangeSet:
        """Commit the folder's state as one commit on top of the base commit, on the run's branch.

        A file that brings a secret in is left out, and listed: masked code would not be what the agent made.

        Args:
            base_commit: The commit's parent.
            protected: Globs of paths whose change is left out, and listed as refused.
            message: The commit's message and the change's summary.
            authority: Paths of the files that decide who decides.

        Effects: moves the run's branch; collecting the same state again gives the same commit.
        """
        git = self.repository.git
        with self._index() as own:
            whole = write_tree(own, base_commit)
            touched = self.repository.changed(base_commit, whole)
            leaking_files = leaking(git, base_commit, whole, self.secrets, self._clean)
            out = {file.path for file in leaking_files}
            reinstate(own, base_commit, [path for path in touched if path in out or matches(protected, path)])
            tree = own.line("write-tree")
            special = special_files(own)
        refused = self.repository.changed(tree, whole).keys() - out
        text = f"{plain_message(message)}\n{RUN_TRAILER}: {self.run_id}\n"  # equal changes of two runs are two commits
        commit = self._same_commit(base_commit, tree, text)
        if commit is None:
            commit = git.write_commit(tree, [base_commit], text)
            git.output("update-ref", "-m", f"phasegate: collect {self.run_id}", f"refs/heads/{self.branch}", commit)
        git.on(self.folder, self.records / "index").output("read-tree", "--reset", commit)
        files = changed_files(self.repository, base_commit, commit)
        return ChangeSet(
            base_commit=base_commit,
            commit=commit,
            tree=tree,
            branch=self.branch,
            summary=message,
            files=files,
            authority_files=tuple(file.path for file in files if leads_to(file.path, authority)),
            refused=tuple(readable(path) for path in sorted(refused)),
            secrets=tuple(
                f"{readable(self.secrets.mask(file.path).text)}: "
                + ", ".join(f"{leak.kind} ({leak.digest})" for leak in file.leaks)
                for file in leaking_files
            ),
            diff_digest=diff_digest(self.repository, base_commit, commit),
            left_out=tuple(map(readable, special)),
        )

    def _write_tree(self, git: Git, also: Sequence[str] = ()) -> str:
        """Record the folder's files as they may be kept: where one brings a secret in, a masked copy is."""
        tree = write_tree(git, self.base_commit, also)
        leaking_files = leaking(self.repository.git, self.base_commit, tree, self.secrets, self._clean)
        return masked_tree(git, leaking_files, self.secrets) if leaking_files else tree

    def diff(self, base: str, commit: str) -> str:
        """The unified diff between two commits."""
        return self.repository.git.output(*DIFF, "-p", base, commit).decode(errors="replace")

    def begin_from(self, commit: str) -> None:
        """Adopt a change of another run as this run's own: its files into the folder, and onto the run's branch.

        Effects: moves the run's branch; what was in the folder and differs is kept, as `restore` does.

        Raises:
            RepositoryError: There is no such commit.
        """
        if self.repository.git.resolve(f"{commit}^{{commit}}") is None:
            raise RepositoryError(f"there is no commit {commit} in {self.repository.top}", run_id=self.run_id)
        self.restore(commit)
        words = ("update-ref", "-m", f"phasegate: begin {self.run_id} from a change", f"refs/heads/{self.branch}")
        self.repository.git.output(*words, commit)

    def remove(self) -> None:
        """Remove the folder, after recording what no checkpoint has yet; branch and checkpoints stay."""
        git = self.repository.git
        if self.folder.is_dir():
            with self._index() as own:
                tree = self._write_tree(own)
            if tree not in (git.tree_of(self.latest()), git.tree_of(f"refs/heads/{self.branch}")):
                self._keep(tree)
            self._attach()
        if self.records.is_dir():
            git.output("worktree", "remove", "--force", "--force", str(self.folder))

    def discard(self) -> None:
        """Take back what `create` made, for a run that no agent has worked for.

        Effects: as `remove`; then the branch goes too, if it never left the base commit, and the mark of the base.
        """
        self.remove()
        for ref in (f"refs/heads/{self.branch}", _ref(self.run_id, "base")):
            self.repository.git.attempt("update-ref", "-d", ref, self.base_commit)

    def _attach(self) -> None:
        """Make the folder's `.git` name this worktree, whatever the agent made of it."""
        (self.records / "locked").unlink(missing_ok=True)  # git's mark of a creation that was cut off
        self.folder.mkdir(parents=True, exist_ok=True)
        link, expected = self.folder / ".git", f"gitdir: {self.records}\n"
        if link.is_symlink() or not link.is_file() or link.read_bytes() != expected.encode(errors="surrogateescape"):
            if link.is_symlink() or link.exists():
                aside = tempfile.mkdtemp(prefix="phasegate-replaced-", dir=self.records)
                shutil.move(link, aside)
            link.write_text(expected, errors="surrogateescape")

    def _fill(self) -> None:
        """Write the latest checkpoint's files into the folder, and only then mark it as begun."""
        with self._index() as git:
            git.output("read-tree", "--reset", self.latest())
            checkout(git)
        self.repository.git.on(self.folder, self.records / "index").output("read-tree", "--reset", self.base_commit)
        self._point(base=self.base_commit)

    def _keep(self, tree: str) -> None:
        parent, git = self.latest(), self.repository.git
        numbers = git.line("for-each-ref", "--format=%(refname:lstrip=-1)", _ref(self.run_id, "lost")).split()
        number = max((int(name) for name in numbers), default=0) + 1
        commit = git.write_commit(tree, [parent], f"What was in the folder of {self.run_id} before it was replaced")
        self._point(**{f"lost/{number}": commit})

    def _point(self, **refs: str) -> None:
        """Move several of the run's refs at once or not at all."""
        lines = "".join(f"update {_ref(self.run_id, name)} {commit}\n" for name, commit in refs.items())
        self.repository.git.output("update-ref", "--stdin", stdin=lines.encode())

    def _same_commit(self, base_commit: str, tree: str, message: str) -> str | None:
        entry = self.repository.git.line("log", "-1", "--format=%H %T %P%n%B", f"refs/heads/{self.branch}", "--")
        head, _, body = entry.partition("\n")
        commit, *rest = head.split(" ")
        return commit if rest == [tree, base_commit] and body.strip() == message.strip() else None

    @contextmanager
    def _index(self) -> Generator[Git]:
        """A private index that remembers between uses which files it has hashed; a crash leaves the last good one."""
        stored = self.records / "phasegate-index"
        with tempfile.TemporaryDirectory(prefix="phasegate-index-") as scratch:
            index = Path(scratch) / "index"
            if stored.exists():
                shutil.copy2(stored, index)  # with its times: git compares them to notice edits made within one tick
            yield self.repository.git.on(self.folder, index)
            shutil.copy2(index, stored.with_suffix(".new"))
        stored.with_suffix(".new").replace(stored)


def changed_files(repository: Repository, base: str, commit: str) -> tuple[FileChange, ...]:
    """Changes of a commit, file by file."""
    letters = repository.changed(base, commit)
    counts = repository.git.records(*DIFF, "-z", "--numstat", base, commit)
    return tuple(_file_change(record, letters) for record in counts)


def diff_digest(repository: Repository, base: str, commit: str) -> str:
    """Digest of the full diff between two commits, binary files included."""
    return sha256(repository.git.output(*DIFF, "-p", "--binary", "--full-index", base, commit))


def _ref(run_id: str, name: str) -> str:
    return f"refs/phasegate/{run_id}/{name}"


def _file_change(record: str, letters: dict[str, str]) -> FileChange:
    added, removed, path = record.split("\t", 2)
    lines = [None if count == "-" else int(count) for count in (added, removed)]
    return FileChange(path=readable(path), status=_STATUS[letters[path]], added=lines[0], removed=lines[1])


def _find_records(git: Git, folder: Path) -> Path | None:
    """Git's directory for the worktree at a folder; one that a crash left incomplete is cleared away."""
    for backlink in (git.git_dir / "worktrees").glob("*/gitdir"):
        if backlink.read_text(errors="surrogateescape").strip() == str(folder / ".git"):
            if all((backlink.parent / name).is_file() for name in ("HEAD", "commondir")):
                return backlink.parent
            remove_tree(backlink.parent)
    return None


def _add_worktree(git: Git, run_id: str, base: str, folder: Path) -> Path:
    if folder.is_dir() and any(path.name != ".git" for path in folder.iterdir()):
        raise RepositoryError(f"{folder} is not empty", remedy="Move away what is in it.", run_id=run_id)
    if folder.is_dir():
        (folder / ".git").unlink(missing_ok=True)
    branch = f"phasegate/{run_id}"
    at = git.resolve(f"refs/heads/{branch}")
    if at is None:
        git.output("worktree", "add", "--no-checkout", "--no-track", "-b", branch, str(folder), base)
    elif at == base or git.resolve(_ref(run_id, "base")):
        # By force: the branch may be checked out in the workspace of an engine that had the run before this one.
        git.output("worktree", "add", "--force", "--no-checkout", str(folder), branch)
    else:
        raise RepositoryError(f"there already is a branch {branch}, and it is not phasegate's", run_id=run_id)
    if (records := _find_records(git, folder)) is None:
        raise RepositoryError(f"git made no worktree at {folder}", run_id=run_id)
    return records
