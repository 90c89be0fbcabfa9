"""Bringing a change into the base branch, and taking it out again, without touching the user's working tree.

Called by the effects of integration and their compensations. It must not know why, or who approved. Commits are made
in the object store and a ref is moved by compare-and-swap. A branch that the user has checked out never moves: then
its integration branch does (`phasegate/<branch>`).
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phasegate.infra.errors import BranchMoved, IntegrationFailed, RepositoryError
from phasegate.infra.workspace.change_set import readable
from phasegate.infra.workspace.git import EMAIL, RUN_TRAILER, failure_message, null_terminated, plain_message
from phasegate.infra.workspace.objects import require_new_objects
from phasegate.infra.workspace.released import require_tree
from phasegate.infra.workspace.repository import integration_branch

if TYPE_CHECKING:
    from collections.abc import Callable

    from phasegate.infra.workspace.change_set import ChangeSet
    from phasegate.infra.workspace.repository import Repository

EFFECT, RUN = "Phasegate-Effect", RUN_TRAILER
_SWAPS = 5


@dataclass(frozen=True)
class Merge:
    """A change that is in, or its revert."""

    ref: str
    """The ref that moved: `refs/heads/<branch>` or `refs/heads/phasegate/<branch>`."""
    commit: str
    """The merge commit, or the revert's."""
    previous: str
    """Its first parent: what it was made on top of."""


def merge(
    repository: Repository,
    change: ChangeSet,
    base_branch: str,
    *,
    run_id: str,
    key: str,
    message: str,
    graded: str = "",
) -> Merge:
    """Merge a change into the base branch, or into its integration branch while the user has that one checked out.

    Args:
        repository: Where.
        change: What; its commit becomes the second parent.
        base_branch: The branch the run started from.
        run_id: Goes into the message as a trailer.
        key: The effect's idempotency key; goes into the message as a trailer.
        message: Subject and body, free text.
        graded: The only tree that the merge may have; empty: graded by a version that recorded none.

    Effects: one merge commit and one moved ref; idempotent by `key`.

    Raises:
        BranchMoved: Merged into the branch as it is now, the change would be another tree than the graded one.
        IntegrationFailed: The change conflicts (naming the files), is already in, or the branches have diverged; the
            change, or the merge that carries the key, is not what was graded.
    """
    require_tree(repository, change.commit, change.tree)
    try:
        require_new_objects(repository.git, change.commit, change.base_commit)
    except RepositoryError as error:
        raise IntegrationFailed(error.message, remedy=error.remedy) from error
    if existing := find_merge(repository, base_branch, key):
        _require_merge_of(repository, existing, change, graded)
        return existing
    text = f"{plain_message(message)}\n{RUN}: {run_id}\n{EFFECT}: {key}\n"

    def commit_onto(tip: str) -> str:
        tree, conflicts = _tree_onto(repository, change, tip)
        if tree == repository.git.tree_of(tip) and repository.contains(tip, change.commit):
            raise IntegrationFailed(f"{base_branch} already contains {change.commit[:12]}", run_id=run_id)
        if graded and not (tree == graded and repository.contains(tip, change.base_commit)):
            raise BranchMoved(
                f"{base_branch} is at {tip[:12]} now, and the change merged into it is not the graded {graded[:12]}",
                remedy=f"`phasegate resume {run_id}` has the merged tree graded.",
            )
        if conflicts:
            raise _conflict(f"the change does not merge into {base_branch}", conflicts)
        return repository.git.write_commit(tree, [tip, change.commit], text)

    return _advance(repository, base_branch, commit_onto, f"phasegate: merge {run_id}")


def _require_merge_of(repository: Repository, candidate: Merge, change: ChangeSet, graded: str) -> None:
    """Require that a merge which carries an effect's key is the one of that effect: anybody can write the key."""
    parents = repository.git.line("rev-list", "--parents", "-n", "1", candidate.commit, "--").split()[1:]
    if parents != [candidate.previous, change.commit]:
        raise IntegrationFailed(
            f"commit {candidate.commit[:12]} carries the run's key and does not merge {change.commit[:12]}",
            remedy="Find out who made that commit, and take it out of the branch. Then run the ticket again.",
        )
    if graded:
        require_tree(repository, candidate.commit, graded)


def merges_to(repository: Repository, change: ChangeSet, base_branch: str, graded: str) -> bool:
    """True if the change, merged into the base branch as it is now, is exactly the graded tree.

    Raises:
        IntegrationFailed: The branch is gone, or has diverged from its integration branch.
    """
    tip = branch_head(repository, base_branch)
    merged, conflicts = _tree_onto(repository, change, tip)
    return not conflicts and merged == graded and repository.contains(tip, change.base_commit)


def branch_head(repository: Repository, base_branch: str) -> str:
    """The commit that a merge would be made on top of.

    Raises:
        IntegrationFailed: The branch is gone, or has diverged from its integration branch.
    """
    try:
        return repository.tip(base_branch)
    except RepositoryError as error:
        raise IntegrationFailed(error.message, remedy=error.remedy) from error


def revert(repository: Repository, merge: Merge, base_branch: str, *, key: str) -> Merge:
    """Undo a merge by a commit that takes out what it brought in.

    Args:
        repository: Where.
        merge: What `merge` returned.
        base_branch: The branch the run started from.
        key: The effect's idempotency key.

    Effects: one commit and one moved ref; idempotent by `key`.

    Returns:
        The revert's commit and the branch that has it, which need not be the branch that the merge went to. Where a
        person has already taken the merge out of the history: the branch's tip.

    Raises:
        IntegrationFailed: Later commits conflict with the revert (naming the files).
    """
    if existing := find_revert(repository, base_branch, key):
        return existing
    git = repository.git
    shown = ("log", "-1", f"--format=%s%x00%(trailers:key={RUN},valueonly,separator=%x2C)", merge.commit)
    subject, run_id = git.line(*shown).split("\0")
    text = f'Revert "{subject}"\n\nThis reverts commit {merge.commit}.\n\n{RUN}: {run_id}\n{EFFECT}: {key}\n'

    def commit_onto(tip: str) -> str:
        if not repository.contains(tip, merge.commit):
            return tip
        trees = (git.tree_of(merge.commit), git.tree_of(tip), git.tree_of(f"{merge.commit}^1"))
        tree, conflicts = three_way_trees(repository, *trees)
        if conflicts:
            raise _conflict(f"the merge cannot be reverted on {base_branch}", conflicts)
        return git.write_commit(tree, [tip], text)

    return _advance(repository, base_branch, commit_onto, f"phasegate: revert {run_id}")


def find_merge(repository: Repository, base_branch: str, key: str) -> Merge | None:
    """The merge that an effect's key has already made."""
    return _find_any(repository, base_branch, key, "--merges")


def find_revert(repository: Repository, base_branch: str, key: str) -> Merge | None:
    """The revert that an effect's key has already made."""
    return _find_any(repository, base_branch, key, "--no-merges")


def _find_any(repository: Repository, base_branch: str, key: str, which: str) -> Merge | None:
    for ref in _refs(repository, base_branch):
        if commit := _find(repository, ref, key, which):
            return Merge(ref, commit, repository.git.line("rev-parse", f"{commit}^1"))
    return None


def _names(base_branch: str) -> list[str]:
    return [f"refs/heads/{branch}" for branch in (integration_branch(base_branch), base_branch)]


def _refs(repository: Repository, base_branch: str) -> list[str]:
    return [ref for ref in _names(base_branch) if repository.git.resolve(ref)]


def _find(repository: Repository, ref: str, key: str, which: str) -> str | None:
    shown = f"--format=%H%x1f%ce%x1f%(trailers:key={EFFECT},valueonly,separator=%x2C)%x00"
    grep = ("--fixed-strings", f"--grep={EFFECT}: {key}")
    for record in repository.git.line("log", which, *grep, shown, ref, "--").split("\0"):
        commit, _, rest = record.strip().partition("\x1f")
        if rest == f"{EMAIL}\x1f{key}":
            return commit
    return None


def _advance(repository: Repository, base_branch: str, commit_onto: Callable[[str], str], reason: str) -> Merge:
    """Move the branch to a commit made on top of its tip; again if another process was faster."""
    git, refused = repository.git, ""
    for _ in range(_SWAPS):
        ref = _movable(repository, base_branch)
        if other := git.attempt("symbolic-ref", "--quiet", ref).stdout.decode(errors="replace").strip():
            raise IntegrationFailed(
                f"{ref} leads to {other}, which nobody named",
                remedy=f"`git symbolic-ref --delete {ref}` takes it away. Then `phasegate resume` the run.",
            )
        was = {name: git.resolve(name) or "" for name in _names(base_branch)}
        tip, before = branch_head(repository, base_branch), was[ref]
        if tip not in was.values() or (before and not repository.contains(tip, before)):
            continue
        commit = commit_onto(tip)
        # both branches decide what the tip is, so both must still be where they were
        checks = [f"verify {name} {at or '0' * len(commit)}" for name, at in was.items() if name != ref]
        lines = [*checks, "option no-deref", f"update {ref} {commit} {before or '0' * len(commit)}"]
        done = git.attempt("update-ref", "-m", reason, "--stdin", stdin="".join(f"{line}\n" for line in lines).encode())
        if done.returncode == 0:
            return Merge(ref, commit, tip)
        refused = failure_message(done)
    raise IntegrationFailed(f"{base_branch} could not be moved: {refused or 'it keeps changing'}")


def _movable(repository: Repository, base_branch: str) -> str:
    checkouts = repository.checked_out()
    for branch in (base_branch, integration_branch(base_branch)):
        if branch not in checkouts:
            return f"refs/heads/{branch}"
    raise IntegrationFailed(
        f"both {base_branch} and {integration_branch(base_branch)} are checked out",
        remedy=f"Switch away from {integration_branch(base_branch)}, then `phasegate resume` the run.",
    )


def _tree_onto(repository: Repository, change: ChangeSet, tip: str) -> tuple[str, list[str]]:
    """The tree of a change merged onto a commit, and the paths that conflict.

    Onto a history that has the change already, it is taken from its own base: a revert may have taken it out again.
    """
    if not repository.contains(tip, change.commit):
        return three_way(repository, tip, change.commit)
    git = repository.git
    return three_way_trees(repository, git.tree_of(change.base_commit), git.tree_of(tip), git.tree_of(change.commit))


def three_way_trees(repository: Repository, base: str, ours: str, theirs: str) -> tuple[str, list[str]]:
    """Three trees merged, by commits made for it: merge-tree of git 2.39 cannot be told a merge base.

    Returns:
        The merged tree, and the paths that conflict.
    """
    git = repository.git
    root = git.write_commit(base, [], "merge base")
    our_side, their_side = git.write_commit(ours, [root], "ours"), git.write_commit(theirs, [root], "theirs")
    return three_way(repository, our_side, their_side)


def three_way(repository: Repository, ours: str, theirs: str) -> tuple[str, list[str]]:
    """Two commits merged as their files' attributes say.

    Returns:
        The merged tree, and the paths that conflict.

    Raises:
        IntegrationFailed: git cannot merge them at all.
    """
    with (
        tempfile.TemporaryDirectory(prefix="phasegate-merge-") as folder,
        repository.private_index(Path(folder)) as git,
    ):
        git.output("read-tree", ours)
        attributes = [path for path in repository.files(ours) if path.rpartition("/")[2] == ".gitattributes"]
        # how files merge (`merge=union`) is read from a work tree only
        git.output("checkout-index", "-z", "--stdin", "--force", stdin=null_terminated(attributes))
        options = ("--write-tree", "-z", "--name-only", "--no-messages")
        done = git.attempt("merge-tree", *options, ours, theirs)
    if done.returncode not in (0, 1):
        raise IntegrationFailed(f"the commits do not merge: {failure_message(done)}")
    tree, *files = os.fsdecode(done.stdout).rstrip("\0").split("\0")
    return tree, files if done.returncode else []


def _conflict(failure: str, files: list[str]) -> IntegrationFailed:
    names = ", ".join(readable(path) for path in files)
    remedy = "Start a new run from the branch as it is now, or merge by hand."
    return IntegrationFailed(f"{failure}: conflicts in {names}", remedy=remedy, files=names)
