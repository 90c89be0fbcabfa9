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

from phasegate.infra.errors import IntegrationFailed, RepositoryError
from phasegate.infra.workspace.change_set import readable
from phasegate.infra.workspace.git import EMAIL, RUN_TRAILER, null_terminated, plain_message, said
from phasegate.infra.workspace.repository import integration_branch

if TYPE_CHECKING:
    from collections.abc import Callable

    from phasegate.infra.workspace.change_set import ChangeSet
    from phasegate.infra.workspace.repository import Repository

EFFECT, RUN = "Phasegate-Effect", RUN_TRAILER
_SWAPS = 5


@dataclass(frozen=True)
class Merge:
    """A change that is in."""

    ref: str
    """The ref that moved: `refs/heads/<branch>` or `refs/heads/phasegate/<branch>`."""
    commit: str
    """The merge commit."""
    previous: str
    """Its first parent: what the change was merged onto."""


def merge(repository: Repository, change: ChangeSet, base_branch: str, *, run_id: str, key: str, message: str) -> Merge:
    """Merge a change into the base branch, or into its integration branch while the user has that one checked out.

    Args:
        repository: Where.
        change: What; its commit becomes the second parent.
        base_branch: The branch the run started from.
        run_id: Goes into the message as a trailer.
        key: The effect's idempotency key; goes into the message as a trailer.
        message: Subject and body, free text.

    Effects: one merge commit and one moved ref; idempotent by `key`.

    Raises:
        IntegrationFailed: The change conflicts (naming the files), is already in, or the branches have diverged.
    """
    if found := find_merge(repository, base_branch, key):
        return found
    text = f"{plain_message(message)}\n{RUN}: {run_id}\n{EFFECT}: {key}\n"

    def commit_onto(tip: str) -> str:
        failure = f"the change does not merge into {base_branch}"
        if not repository.contains(tip, change.commit):
            tree = _merged_tree(repository, tip, change.commit, failure)
        elif (tree := _again(repository, tip, change, failure)) == repository.git.tree_of(tip):
            raise IntegrationFailed(f"{base_branch} already contains {change.commit[:12]}", run_id=run_id)
        if tip == change.base_commit and tree != change.tree:
            raise IntegrationFailed(f"merged, the change would not be the tree {change.tree[:12]}", run_id=run_id)
        return repository.git.write_commit(tree, [tip, change.commit], text)

    return _advance(repository, base_branch, commit_onto, f"phasegate: merge {run_id}")


def revert(repository: Repository, merge: Merge, base_branch: str, *, key: str) -> str:
    """Undo a merge by a commit that takes out what it brought in.

    Args:
        repository: Where.
        merge: What `merge` returned.
        base_branch: The branch the run started from.
        key: The effect's idempotency key.

    Effects: one commit and one moved ref; idempotent by `key`.

    Returns:
        The revert's commit; the branch's tip where a person has already taken the merge out of its history.

    Raises:
        IntegrationFailed: Later commits conflict with the revert (naming the files).
    """
    if found := find_revert(repository, base_branch, key):
        return found
    git = repository.git
    shown = ("log", "-1", f"--format=%s%x00%(trailers:key={RUN},valueonly,separator=%x2C)", merge.commit)
    subject, run_id = git.line(*shown).split("\0")
    text = f'Revert "{subject}"\n\nThis reverts commit {merge.commit}.\n\n{RUN}: {run_id}\n{EFFECT}: {key}\n'

    def commit_onto(tip: str) -> str:
        if not repository.contains(tip, merge.commit):
            return tip
        trees = (git.tree_of(merge.commit), git.tree_of(tip), git.tree_of(f"{merge.commit}^1"))
        tree = _merged_trees(repository, *trees, f"the merge cannot be reverted on {base_branch}")
        return git.write_commit(tree, [tip], text)

    return _advance(repository, base_branch, commit_onto, f"phasegate: revert {run_id}").commit


def find_merge(repository: Repository, base_branch: str, key: str) -> Merge | None:
    """The merge that an effect's key has already made."""
    for ref in _refs(repository, base_branch):
        if commit := _find(repository, ref, key, "--merges"):
            return Merge(ref, commit, repository.git.line("rev-parse", f"{commit}^1"))
    return None


def find_revert(repository: Repository, base_branch: str, key: str) -> str | None:
    """The revert commit that an effect's key has already made."""
    found = (_find(repository, ref, key, "--no-merges") for ref in _refs(repository, base_branch))
    return next((commit for commit in found if commit), None)


def _refs(repository: Repository, base_branch: str) -> list[str]:
    refs = [f"refs/heads/{branch}" for branch in (integration_branch(base_branch), base_branch)]
    return [ref for ref in refs if repository.git.resolve(ref)]


def _find(repository: Repository, ref: str, key: str, which: str) -> str | None:
    shown = f"--format=%H%x1f%ce%x1f%(trailers:key={EFFECT},valueonly,separator=%x2C)%x00"
    grep = ("--fixed-strings", f"--grep={EFFECT}: {key}")
    for record in repository.git.line("log", which, *grep, shown, ref, "--").split("\0"):
        commit, _, rest = record.strip().partition("\x1f")
        if rest == f"{EMAIL}\x1f{key}":
            return commit
    return None


def _advance(repository: Repository, base_branch: str, commit_onto: Callable[[str], str], reason: str) -> Merge:
    """Move the branch to a commit made on top of its tip, again if somebody else was faster."""
    git, refused = repository.git, ""
    for _ in range(_SWAPS):
        try:
            ref = _movable(repository, base_branch)
            before = git.resolve(ref) or ""
            tip = repository.tip(base_branch)
        except RepositoryError as error:
            raise IntegrationFailed(error.message, remedy=error.remedy) from error
        if before and not repository.contains(tip, before):
            continue
        commit = commit_onto(tip)
        done = git.attempt("update-ref", "-m", reason, ref, commit, before)
        if done.returncode == 0:
            return Merge(ref, commit, tip)
        refused = said(done)
    raise IntegrationFailed(f"{base_branch} could not be moved: {refused or 'it keeps changing'}")


def _movable(repository: Repository, base_branch: str) -> str:
    taken = repository.checked_out()
    for branch in (base_branch, integration_branch(base_branch)):
        if branch not in taken:
            return f"refs/heads/{branch}"
    raise IntegrationFailed(
        f"both {base_branch} and {integration_branch(base_branch)} are checked out",
        remedy=f"Switch away from {integration_branch(base_branch)}, then `phasegate resume` the run.",
    )


def _again(repository: Repository, tip: str, change: ChangeSet, failure: str) -> str:
    """What a change makes of a history that has it already: the same tree, unless a revert took it out again."""
    git = repository.git
    trees = (git.tree_of(change.base_commit), git.tree_of(tip), git.tree_of(change.commit))
    return _merged_trees(repository, *trees, failure)


def _merged_trees(repository: Repository, base: str, ours: str, theirs: str, failure: str) -> str:
    """Three trees merged, by commits made for it: merge-tree of git 2.39 cannot be told a merge base."""
    git = repository.git
    root = git.write_commit(base, [], "merge base")
    our_side, their_side = git.write_commit(ours, [root], "ours"), git.write_commit(theirs, [root], "theirs")
    return _merged_tree(repository, our_side, their_side, failure)


def _merged_tree(repository: Repository, ours: str, theirs: str, failure: str) -> str:
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
    tree, *files = os.fsdecode(done.stdout).rstrip("\0").split("\0")
    if done.returncode == 0:
        return tree
    if done.returncode != 1:
        raise IntegrationFailed(f"{failure}: {said(done)}")
    names = ", ".join(readable(path) for path in files)
    remedy = "Start a new run from the branch as it is now, or merge by hand."
    raise IntegrationFailed(f"{failure}: conflicts in {names}", remedy=remedy, files=names)
