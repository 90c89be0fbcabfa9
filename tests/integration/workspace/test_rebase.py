from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from tests.integration.workspace.test_integrate import change_of, merged
from typing_extensions import override

from phasegate.infra.errors import BranchMoved, IntegrationFailed, OperatorNeeded
from phasegate.infra.workspace import merge, merges_to, patch_id, rebase, released_change, revert
from phasegate.infra.workspace.git import Git

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.integration.workspace.conftest import UserRepository

    from phasegate.infra.workspace import ChangeSet, Merge, Repository

LINES = "".join(f"line {number}\n" for number in range(40))


def merged_as_graded(repository: Repository, change: ChangeSet, graded: str) -> Merge:
    return merge(repository, change, "main", run_id="r1", key="r1/merge", message="m", graded=graded)


@pytest.fixture
def long(user: UserRepository) -> None:
    """A file in which changes may be far apart."""
    user.git("stash", "-q", "-u")
    user.commit("Lines", **{"long.txt": LINES})


@dataclass(frozen=True)
class Case:
    id: str
    meanwhile: str
    """The line that the branch changes; the change itself changes line 20."""
    same_patch: bool


@pytest.mark.parametrize(
    "case",
    [Case("far away", "line 2\n", same_patch=True), Case("next to it", "line 23\n", same_patch=False)],
    ids=lambda case: case.id,
)
def test_a_rebased_change_is_the_same_patch_while_nothing_next_to_it_moved(
    user: UserRepository, repository: Repository, tmp_path: Path, long: None, case: Case
) -> None:
    change = change_of(repository, tmp_path, "r1", **{"long.txt": LINES.replace("line 20\n", "line twenty\n")})
    head = user.commit("Meanwhile", **{"long.txt": LINES.replace(case.meanwhile, "meanwhile\n")})
    moved = rebase(repository, change, head, branch="main", run_id="r1")
    assert moved == rebase(repository, change, head, branch="main", run_id="r1")
    assert (moved.base_commit, repository.git.line("rev-parse", f"{moved.commit}^")) == (head, head)
    assert [(file.path, file.added, file.removed) for file in moved.files] == [("long.txt", 1, 1)]
    assert repository.git.resolve(moved.branch) == moved.commit
    text = (repository.read_file(moved.commit, "long.txt") or b"").decode()
    assert text == LINES.replace("line 20\n", "line twenty\n").replace(case.meanwhile, "meanwhile\n")
    before, now = patch_id(repository, change.base_commit, change.commit), patch_id(repository, head, moved.commit)
    assert (before == now) is case.same_patch
    shown = subprocess.run(["git", "show", change.commit], cwd=user.folder, check=True, capture_output=True).stdout
    told = subprocess.run(
        ["git", "patch-id", "--stable"], input=shown, cwd=user.folder, check=True, capture_output=True
    )
    assert told.stdout.decode().split()[0] == before


def test_a_conflict_names_the_files_and_the_commits(
    user: UserRepository, repository: Repository, tmp_path: Path, long: None
) -> None:
    change = change_of(repository, tmp_path, "r1", **{"long.txt": LINES.replace("line 20\n", "line twenty\n")})
    head = user.commit("Say it otherwise", **{"long.txt": LINES.replace("line 20\n", "the twentieth\n")})
    with pytest.raises(OperatorNeeded, match=r"long\.txt .*Say it otherwise") as conflict:
        rebase(repository, change, head, branch="main", run_id="r1")
    assert "phasegate resume r1" in conflict.value.remedy


def test_a_conflict_in_what_is_not_released_is_none(
    user: UserRepository, repository: Repository, tmp_path: Path, long: None
) -> None:
    mine = {"long.txt": LINES.replace("line 20\n", "line twenty\n"), "b.py": "b\n"}
    change = change_of(repository, tmp_path, "r1", **mine)
    theirs = LINES.replace("line 20\n", "the twentieth\n")
    head = user.commit("Meanwhile", **{"long.txt": theirs})
    moved = rebase(repository, change, head, branch="main", run_id="r1", left_out={"long.txt"})
    assert repository.read_file(moved.commit, "long.txt") == theirs.encode()
    assert [file.path for file in moved.files] == ["b.py"]


def test_a_branch_put_back_does_not_get_its_commits_again(
    user: UserRepository, repository: Repository, tmp_path: Path, long: None
) -> None:
    first = user.git("rev-parse", "HEAD")
    user.commit("A mistake", **{"mistake.py": "oops\n"})
    change = change_of(repository, tmp_path, "r1", **{"b.py": "b\n"})
    user.git("reset", "-q", "--hard", first)
    assert not merges_to(repository, change, "main", change.tree)
    moved = rebase(repository, change, first, branch="main", run_id="r1")
    done = merged_as_graded(repository, moved, moved.tree)
    assert "mistake.py" not in repository.files(done.commit)
    assert not repository.contains(done.commit, change.base_commit)


def test_what_the_branch_has_already_is_refused(user: UserRepository, repository: Repository, tmp_path: Path) -> None:
    change = change_of(repository, tmp_path, "r1", **{"b.py": "b\n"})
    user.git("stash", "-q", "-u")
    head = user.commit("By hand", **{"b.py": "b\n"})
    with pytest.raises(IntegrationFailed, match="already contains"):
        rebase(repository, change, head, branch="main", run_id="r1")


def test_only_the_graded_tree_is_merged(user: UserRepository, repository: Repository, tmp_path: Path) -> None:
    change = change_of(repository, tmp_path, "r1", **{"b.py": "b\n"})
    user.git("stash", "-q", "-u")
    head = user.commit("Meanwhile", **{"c.py": "c\n"})
    assert not merges_to(repository, change, "main", change.tree)
    with pytest.raises(BranchMoved, match=head[:12]):
        merged_as_graded(repository, change, change.tree)
    assert repository.base("main").commit == head
    moved = rebase(repository, change, head, branch="main", run_id="r1")
    assert merges_to(repository, moved, "main", moved.tree)
    done = merged_as_graded(repository, released_change(repository, moved, moved.tree), moved.tree)
    assert (done.previous, repository.git.tree_of(done.commit)) == (head, moved.tree)
    revert(repository, done, "main", key="r1/revert")
    assert repository.git.tree_of(repository.base("main").commit) == repository.git.tree_of(head)


def test_a_branch_that_is_as_it_was_needs_no_other_grade(
    user: UserRepository, repository: Repository, tmp_path: Path
) -> None:
    change = change_of(repository, tmp_path, "r1", **{"b.py": "b\n"})
    first = merged(repository, change_of(repository, tmp_path, "r2", **{"c.py": "c\n"}), "r2")
    revert(repository, first, "main", key="r2/revert")
    assert merges_to(repository, change, "main", change.tree)
    assert repository.git.tree_of(merged_as_graded(repository, change, change.tree).commit) == change.tree


@dataclass(frozen=True)
class LateGit(Git):
    """git of a machine on which a person commits right before a merge commit is written."""

    late: Callable[[], object] = print

    @override
    def write_commit(self, tree: str, parents: Sequence[str], message: str, *, at: str = "") -> str:
        if "Phasegate-Effect" in message:
            self.late()
        return super().write_commit(tree, parents, message, at=at)


def test_a_move_between_the_look_and_the_merge_is_noticed(
    user: UserRepository, repository: Repository, tmp_path: Path
) -> None:
    """The user's branch is checked out, so the integration branch moves; both decide what is merged onto."""
    change = change_of(repository, tmp_path, "r1", **{"b.py": "b\n"})
    user.git("stash", "-q", "-u")
    heads: list[str] = []

    def commit_once() -> None:
        if not heads:
            heads.append(user.commit("Meanwhile", **{"c.py": "c\n"}))

    late = replace(repository, git=LateGit(**vars(repository.git), late=commit_once))
    with pytest.raises(BranchMoved):
        merged_as_graded(late, change, change.tree)
    assert repository.base("main").commit == heads[0]
    assert repository.git.resolve("refs/heads/phasegate/main") is None
