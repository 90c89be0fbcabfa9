"""The tree that was graded is merged, whatever the repository shows under the graded ids (P14)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.replacements import EVIL, IGNORED, forge_content, forge_object
from tests.support.repositories import first_commit, git

from phasegate.infra.errors import IntegrationFailed, RepositoryError
from phasegate.infra.workspace import ChangeSet, Repository, Workspace, merge
from phasegate.infra.workspace.clone import clone

KEY = "run-1/merge"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    first_commit(folder, {"greeting.txt": "Hello\n", "other.txt": "other\n", "docs/a.txt": "Hello\n"})
    git(folder, "switch", "-q", "-c", "elsewhere")
    return folder


@pytest.fixture
def change(top: Path, tmp_path: Path) -> ChangeSet:
    repository = Repository.open(top)
    base = repository.base("main").commit
    workspace = Workspace.create(repository, "run-1", base, tmp_path / "state")
    for name in ("greeting.txt", "docs/a.txt"):
        (workspace.folder / name).write_text("Good day\n")
    return workspace.collect(base, [], "Greet politely")


def merged(top: Path, change: ChangeSet) -> str:
    """Merge as the engine does, which opens the repository anew."""
    words = {"run_id": "run-1", "key": KEY, "message": "Greet politely"}
    return merge(Repository.open(top), change, "main", graded=change.tree, **words).commit


def raw(top: Path, *words: str) -> str:
    """Answer of a git that is told to ignore every replacement, by words of its own."""
    plain = ("--no-replace-objects", "-c", "core.useReplaceRefs=false", "-c", "core.commitGraph=false")
    return git(top, *plain, *words)


@pytest.mark.parametrize("alter", IGNORED)
def test_each_is_believed_by_git_itself(top: Path, change: ChangeSet, alter: Callable[[Path, str], None]) -> None:
    """Tried with each alteration left out: git's answers stay the same."""
    asked = ("log", "-p", "--format=%T %P", change.commit, "--")
    before = git(top, *asked)
    alter(top, change.commit)
    assert git(top, *asked) != before


@pytest.mark.parametrize("alter", IGNORED)
def test_the_graded_tree_is_merged(top: Path, change: ChangeSet, alter: Callable[[Path, str], None]) -> None:
    """Mutation tried: `core.useReplaceRefs`, `core.commitGraph` and `GIT_GRAFT_FILE` not set, one at a time."""
    alter(top, change.commit)
    commit = merged(top, change)
    shown = raw(top, "cat-file", "commit", commit).splitlines()[:3]
    assert shown == [f"tree {change.tree}", f"parent {change.base_commit}", f"parent {change.commit}"]
    assert raw(top, "cat-file", "blob", f"{change.tree}:greeting.txt") == "Good day"


@pytest.mark.parametrize("alter", IGNORED)
def test_the_graded_files_are_checked_out(
    top: Path, change: ChangeSet, tmp_path: Path, alter: Callable[[Path, str], None]
) -> None:
    """Mutation tried: as above."""
    alter(top, change.commit)
    repository = Repository.open(top)
    clone(repository, change.commit, tmp_path / "graded")
    assert (tmp_path / "graded/greeting.txt").read_text() == "Good day\n"
    assert git(tmp_path / "graded", "show", "HEAD:greeting.txt") == "Good day"
    repository.export(change.commit, tmp_path / "exported")
    assert (tmp_path / "exported/greeting.txt").read_text() == "Good day\n"
    assert repository.changed(change.base_commit, change.commit) == {"docs/a.txt": "M", "greeting.txt": "M"}


def test_an_object_with_the_content_of_another_stops_the_merge(top: Path, change: ChangeSet) -> None:
    """Git checks a commit's id when it reads one."""
    forge_object(top, change.commit)
    main = git(top, "rev-parse", "main")
    with pytest.raises(RepositoryError, match="hash mismatch"):
        merged(top, change)
    assert git(top, "rev-parse", "main") == main


@pytest.mark.parametrize("path", ["greeting.txt", "other.txt", "docs"])
def test_files_are_not_written_from_an_object_with_another_content(
    top: Path, change: ChangeSet, tmp_path: Path, path: str
) -> None:
    """Git believes each of them. Mutations tried: no check of the base, of the change, of what is exported."""
    forge_content(top, git(top, "rev-parse", f"{change.tree}:{path}"), folder=path == "docs")
    assert EVIL.strip() in git(top, "archive", change.tree)
    repository = Repository.open(top)
    with pytest.raises(RepositoryError, match="another content than its id says"):
        clone(repository, change.commit, tmp_path / "graded")
    with pytest.raises(RepositoryError, match="another content than its id says"):
        repository.export(change.commit, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


@pytest.mark.parametrize("path", ["greeting.txt", "docs"])
def test_a_change_with_an_altered_object_is_not_merged(top: Path, change: ChangeSet, path: str) -> None:
    """Mutation tried: no check before the merge."""
    forge_content(top, git(top, "rev-parse", f"{change.tree}:{path}"), folder=path == "docs")
    main = git(top, "rev-parse", "main")
    with pytest.raises(IntegrationFailed, match="another content than its id says"):
        merged(top, change)
    assert git(top, "rev-parse", "main") == main


def forged_merge(top: Path, change: ChangeSet, tree: str, *parents: str) -> str:
    """A merge that somebody else made under phasegate's name, with the key of the run's effect."""
    who = ("-c", "user.name=phasegate", "-c", "user.email=phasegate@localhost")
    words = [word for parent in parents for word in ("-p", parent)]
    message = f"Greet politely\n\nPhasegate-Run: run-1\nPhasegate-Effect: {KEY}\n"
    commit = git(top, *who, "commit-tree", tree, *words, "-m", message)
    git(top, "update-ref", "refs/heads/main", commit)
    return commit


def test_a_forged_merge_with_another_tree_is_not_taken_for_the_run_s(top: Path, change: ChangeSet) -> None:
    """Mutation tried: `merge` returns what `find_merge` finds, as it is."""
    (top / "greeting.txt").write_text(EVIL)
    git(top, "add", "-A")
    forged_merge(top, change, git(top, "write-tree"), "main", change.commit)
    with pytest.raises(IntegrationFailed, match="the ledger has"):
        merged(top, change)


def test_a_forged_merge_of_something_else_is_not_taken_for_the_run_s(top: Path, change: ChangeSet) -> None:
    """Mutation tried: `merge` checks the tree of what `find_merge` finds, and not its parents."""
    other = git(top, "commit-tree", change.tree, "-p", "main", "-m", "Not the change")
    commit = forged_merge(top, change, change.tree, "main", other)
    with pytest.raises(IntegrationFailed, match=f"{commit[:12]} carries the run's key"):
        merged(top, change)


def test_a_shallow_history_ends_in_the_graded_tree_or_an_error(top: Path, change: ChangeSet) -> None:
    """A shallow clone needs the file `shallow`, so it is read: a commit in it has no parent."""
    (top / ".git/shallow").write_text(f"{change.commit}\n")
    main = git(top, "rev-parse", "main")
    with pytest.raises(IntegrationFailed):
        merged(top, change)
    assert git(top, "rev-parse", "main") == main
