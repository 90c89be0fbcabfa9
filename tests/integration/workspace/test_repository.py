from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from phasegate.infra.errors import RepositoryError
from phasegate.infra.workspace import BaseCommit, Repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.workspace.conftest import UserRepository


def _git(*arguments: str | Path) -> None:
    subprocess.run(["git", *map(str, arguments)], check=True, capture_output=True)


def _bare(folder: Path) -> None:
    _git("init", "-q", "--bare", folder)


def _empty(folder: Path) -> None:
    _git("init", "-q", folder)


@dataclass
class Case:
    name: str
    make: Callable[[Path], object]
    says: str


@pytest.mark.parametrize(
    "case",
    [
        Case("missing", lambda _: None, "no folder"),
        Case("plain folder", lambda folder: folder.mkdir(), "not a git repository"),
        Case("bare", _bare, "bare"),
        Case("no commit", _empty, "no commit yet"),
    ],
    ids=lambda case: case.name,
)
def test_a_folder_no_run_can_start_from_is_refused_with_a_remedy(case: Case, tmp_path: Path) -> None:
    case.make(tmp_path / "it")
    with pytest.raises(RepositoryError, match=case.says) as caught:
        Repository.open(tmp_path / "it")
    assert caught.value.exit_code == 2
    assert caught.value.remedy


def test_a_folder_inside_the_repository_will_do(user: UserRepository) -> None:
    (user.folder / "deep" / "down").mkdir(parents=True)
    assert user.folder == Repository.open(user.folder / "deep" / "down").top


def test_a_linked_worktree_has_its_own_current_branch(user: UserRepository, tmp_path: Path) -> None:
    user.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    assert BaseCommit("side", user.git("rev-parse", "HEAD")) == Repository.open(tmp_path / "side").base()


def test_a_missing_base_branch_names_the_ones_there_are(repository: Repository, user: UserRepository) -> None:
    user.git("branch", "develop")
    with pytest.raises(RepositoryError, match="no branch 'trunk'") as caught:
        repository.base("trunk")
    assert "develop, main" in caught.value.remedy


def test_a_detached_head_has_no_current_branch(repository: Repository, user: UserRepository) -> None:
    user.git("checkout", "-q", "--detach")
    with pytest.raises(RepositoryError, match="detached"):
        repository.base()


def test_the_newer_of_branch_and_integration_branch_is_the_base(repository: Repository, user: UserRepository) -> None:
    main = user.git("rev-parse", "main")
    ahead = user.git("commit-tree", "main^{tree}", "-p", "main", "-m", "integrated")
    user.git("branch", "phasegate/main", ahead)
    assert ahead == repository.base("main").commit
    user.git("update-ref", "refs/heads/main", ahead, main)
    further = user.git("commit-tree", "main^{tree}", "-p", "main", "-m", "further")
    user.git("update-ref", "refs/heads/main", further)
    assert further == repository.base("main").commit
    aside = user.git("commit-tree", "main^{tree}", "-p", main, "-m", "aside")
    user.git("update-ref", "refs/heads/phasegate/main", aside)
    with pytest.raises(RepositoryError, match="diverged") as caught:
        repository.base("main")
    assert "git merge phasegate/main" in caught.value.remedy


def test_reading_leaves_everything_as_it_is(repository: Repository, user: UserRepository) -> None:
    before = user.state()
    assert repository.is_dirty()
    assert repository.read_file("HEAD", "app.py") == b"print('one')\n"
    assert repository.read_file("HEAD", "nothing.py") is None
    assert repository.identity_email() == "ana@example.org"
    assert before == user.state()


def test_a_tree_with_nothing_pending_is_clean(user: UserRepository, repository: Repository) -> None:
    user.git("stash", "-q", "-u")
    assert not repository.is_dirty()


def test_a_file_that_does_not_count_leaves_the_tree_clean(
    user: UserRepository, repository: Repository, tmp_path: Path
) -> None:
    """Mutations tried: the pathspec without `exclude`; without `literal`."""
    user.git("stash", "-q", "-u")
    ticket = user.folder / "tickets" / "[a]*.md"
    user.write("tickets/[a]*.md", "Say hello.\n")
    assert repository.is_dirty()
    assert not repository.is_dirty(besides=ticket)
    assert repository.is_dirty(besides=tmp_path / "ticket.md")
    user.write("tickets/a1.md", "another\n")
    assert repository.is_dirty(besides=ticket)


def test_an_export_has_the_commit_s_files_and_no_git_directory(repository: Repository, tmp_path: Path) -> None:
    repository.export("HEAD", tmp_path / "out")
    assert {".gitignore", "app.py", "notes.txt"} == {path.name for path in (tmp_path / "out").iterdir()}
    assert (tmp_path / "out" / "app.py").read_text() == "print('one')\n"


def test_nothing_a_repository_configures_is_executed(user: UserRepository, tmp_path: Path) -> None:
    user.git("stash", "-q", "-u")
    user.commit(**{".gitattributes": "*.txt filter=spy diff=spy merge=spy\n"})
    trap = tmp_path / "sprung"
    spring = f"sh -c 'touch {trap}; cat'"
    for key in ("filter.spy.clean", "filter.spy.smudge", "diff.spy.textconv", "core.fsmonitor", "diff.external"):
        user.git("config", key, spring)
    hook = user.folder / ".git/hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
    hook.chmod(0o755)
    included = tmp_path / "included"
    included.write_text(f'[filter "spy"]\n\tprocess = {spring}\n\trequired = true\n')
    user.git("config", "include.path", str(included))
    user.write("notes.txt", "changed\n")
    trap.unlink(missing_ok=True)

    repository = Repository.open(user.folder)
    assert repository.is_dirty()
    repository.export("HEAD", tmp_path / "out")
    assert (tmp_path / "out/notes.txt").exists()
    assert not trap.exists()
