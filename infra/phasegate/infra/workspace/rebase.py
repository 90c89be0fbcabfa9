"""Rebase of an approved change onto the head of a branch that has moved, and the change's patch-id.

Called by integration. It must not know why a change is rebased, or how the result is graded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phasegate.infra.errors import IntegrationFailed, OperatorNeeded
from phasegate.infra.workspace.change_set import readable
from phasegate.infra.workspace.integrate import three_way_trees
from phasegate.infra.workspace.snapshot import reinstate
from phasegate.infra.workspace.workspace import DIFF, changed_files, diff_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from phasegate.infra.workspace.change_set import ChangeSet
    from phasegate.infra.workspace.repository import Repository

_SHOWN = 3


def rebase(
    repository: Repository, change: ChangeSet, head: str, *, branch: str, run_id: str, left_out: Collection[str] = ()
) -> ChangeSet:
    """Make a change once more, as one commit on top of a branch's head.

    Args:
        repository: Holds both.
        change: What was approved.
        head: The commit that the branch is at.
        branch: Its name.
        run_id: Names the ref that keeps the commit.
        left_out: Readable paths of the change that are not released; where one conflicts, it is the head's.

    Effects: one commit, the same each time, and the ref `refs/phasegate/<run>/rebased/<head>` that keeps it.

    Raises:
        OperatorNeeded: The change conflicts with what the branch has got since.
        IntegrationFailed: The branch has the change already.
    """
    git = repository.git
    base, ours, theirs = (git.tree_of(commit) for commit in (change.base_commit, head, change.commit))
    tree, conflicts = three_way_trees(repository, base, ours, theirs)
    if conflicts and all(readable(path) in left_out for path in conflicts):
        theirs = _without(repository, theirs, base, conflicts)
        tree, conflicts = three_way_trees(repository, base, ours, theirs)
    if conflicts:
        raise OperatorNeeded(
            f"the change conflicts with what {branch} has got since the run began: {_listed(conflicts)}"
            f"{_since(repository, change.base_commit, head, conflicts)}. "
            "Nothing was merged, and no attempt was charged.",
            remedy=f"Start a new run of the ticket: it begins from {branch} as it is now. "
            f"Or change {branch} so that the files merge, then `phasegate resume {run_id}`.",
            files=_listed(conflicts),
        )
    if tree == ours:
        raise IntegrationFailed(f"{branch} already contains {change.commit[:12]}", run_id=run_id)
    message = git.line("log", "-1", "--format=%B", change.commit, "--")
    commit = git.write_commit(tree, [head], f"{message.rstrip()}\n", at=change.commit)
    ref = f"refs/phasegate/{run_id}/rebased/{head}"
    git.output("update-ref", ref, commit)
    return change.model_copy(
        update={
            "base_commit": head,
            "commit": commit,
            "tree": tree,
            "branch": ref,
            "files": changed_files(repository, head, commit),
            "diff_digest": diff_digest(repository, head, commit),
        }
    )


def patch_id(repository: Repository, base: str, commit: str) -> str:
    """The `git patch-id --stable` of the diff between two commits, or an empty string if there is none."""
    diff = repository.git.output(*DIFF, "-p", "--full-index", base, commit)
    return repository.git.line("patch-id", "--stable", stdin=diff).partition(" ")[0]


def _without(repository: Repository, tree: str, base: str, paths: Sequence[str]) -> str:
    """A tree with some paths as they are in the base's."""
    with repository.private_index(repository.top) as git:
        git.output("read-tree", tree)
        reinstate(git, base, paths)
        return git.line("write-tree")


def _since(repository: Repository, base: str, head: str, paths: Sequence[str]) -> str:
    """The latest commits of a branch that touch some paths, in words, or an empty string if there are none."""
    command = (
        "log",
        f"-{_SHOWN}",
        "--format=%h %s",
        f"{base}..{head}",
        "--",
        *(f":(literal,top){path}" for path in paths),
    )
    commits = repository.git.attempt(*command).stdout.decode(errors="replace").splitlines()
    return f" (changed by {'; '.join(map(readable, commits))})" if commits else ""


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(map(readable, paths))
