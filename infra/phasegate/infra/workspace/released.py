"""The commit that is released of a change: the change's, or one like it with the tree that was graded.

Called by the testing stage, which keeps it, and by integration. It must not know how a tree is graded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phasegate.infra.errors import IntegrationFailed

if TYPE_CHECKING:
    from phasegate.infra.workspace.change_set import ChangeSet
    from phasegate.infra.workspace.repository import Repository


def released_change(repository: Repository, change: ChangeSet, tree: str) -> ChangeSet:
    """A change with exactly the tree that was graded.

    Args:
        repository: Holds both.
        change: What was approved.
        tree: The graded tree's id; empty: graded by a version that recorded none, so the change as it is.

    Effects: where the trees differ, a commit like the change's, always the same one; no ref moves.

    Raises:
        IntegrationFailed: The repository does not have the graded tree any more, or has another one for the change.
    """
    git = repository.git
    require_tree(repository, change.commit, change.tree)
    if tree in {"", change.tree}:
        return change
    if git.resolve(f"{tree}^{{tree}}") is None:
        raise IntegrationFailed(
            f"the graded tree {tree[:12]} is not in the repository any more",
            remedy="Have the change graded again with `phasegate rewind`.",
        )
    _, _, rest = git.output("cat-file", "commit", change.commit).partition(b"\n")
    commit = git.line("hash-object", "-t", "commit", "-w", "--stdin", stdin=f"tree {tree}\n".encode() + rest)
    return change.model_copy(update={"commit": commit, "tree": tree})


def require_tree(repository: Repository, commit: str, tree: str) -> None:
    """Require that a commit has the tree that is on record for it.

    Args:
        repository: Holds the commit.
        commit: Its id.
        tree: The recorded tree's id.

    Raises:
        IntegrationFailed: It has another tree: what the repository holds was altered.
    """
    if (now := repository.git.tree_of(commit)) != tree:
        raise IntegrationFailed(
            f"commit {commit[:12]} has the tree {now[:12]} in this repository, and the ledger has {tree[:12]} for it",
            remedy="Find out with `git fsck` who altered the repository. Then run the ticket again.",
        )


def keep_released(repository: Repository, change: ChangeSet, tree: str, run_id: str) -> None:
    """Keep what is released of a change from being cleared away while people decide.

    Args:
        repository: Holds both.
        change: What was graded.
        tree: The graded tree's id.
        run_id: Whose change.

    Effects: where the trees differ, the ref `refs/phasegate/<run>/released/<tree>`.
    """
    released = released_change(repository, change, tree)
    if released.commit != change.commit:
        repository.git.output("update-ref", f"refs/phasegate/{run_id}/released/{tree}", released.commit)
