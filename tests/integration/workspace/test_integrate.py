from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from phasegate.infra.errors import IntegrationFailed
from phasegate.infra.workspace import (
    ChangeSet,
    Merge,
    Repository,
    Workspace,
    find_merge,
    find_revert,
    keep_released,
    merge,
    released_change,
    revert,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.workspace.conftest import UserRepository


def change_of(repository: Repository, tmp_path: Path, run_id: str, **files: str) -> ChangeSet:
    base = repository.base("main").commit
    workspace = Workspace.create(repository, run_id, base, tmp_path / "state" / run_id)
    for name, content in files.items():
        (workspace.folder / name).write_text(content)
    return workspace.collect(base, [], f"Change of {run_id}")


def merged(repository: Repository, change: ChangeSet, run_id: str) -> Merge:
    return merge(repository, change, "main", run_id=run_id, key=f"{run_id}/merge", message=change.summary)


def test_a_branch_the_user_has_checked_out_does_not_move(
    user: UserRepository, repository: Repository, tmp_path: Path
) -> None:
    before, main = user.state(), user.git("rev-parse", "main")
    change = change_of(repository, tmp_path, "r1", **{"app.py": "print('two')\n"})
    done = merged(repository, change, "r1")
    assert Merge("refs/heads/phasegate/main", user.git("rev-parse", "phasegate/main"), main) == done
    assert f"{main} {change.commit}" == user.git("log", "-1", "--format=%P", done.commit)
    assert user.git("log", "-1", "--format=%(trailers:key=Phasegate-Effect,valueonly)", done.commit) == "r1/merge"
    assert user.git("log", "-1", "--format=%(trailers:key=Phasegate-Run,valueonly)", done.commit) == "r1"
    assert user.git("log", "-1", "--format=%an <%ae>", done.commit) == "phasegate <phasegate@localhost>"
    assert before == user.state()
    assert done.commit == repository.base("main").commit


def test_a_branch_nobody_has_checked_out_moves_itself(
    user: UserRepository, repository: Repository, tmp_path: Path
) -> None:
    user.git("stash", "-q", "-u")
    user.git("switch", "-q", "-c", "elsewhere")
    done = merged(repository, change_of(repository, tmp_path, "r1", **{"b.py": "b\n"}), "r1")
    assert done.ref == "refs/heads/main"
    assert done.commit == user.git("rev-parse", "main")


def test_a_branch_left_behind_catches_up_with_its_integration_branch(
    user: UserRepository, repository: Repository, tmp_path: Path
) -> None:
    first = merged(repository, change_of(repository, tmp_path, "r1", **{"b.py": "b\n"}), "r1")
    user.git("stash", "-q", "-u")
    user.git("switch", "-q", "-c", "elsewhere")
    second = merged(repository, change_of(repository, tmp_path, "r2", **{"c.py": "c\n"}), "r2")
    assert second.ref == "refs/heads/main"
    assert first.commit == second.previous
    assert second == find_merge(repository, "main", "r2/merge")


def test_merging_again_finds_the_first_merge(user: UserRepository, repository: Repository, tmp_path: Path) -> None:
    change = change_of(repository, tmp_path, "r1", **{"b.py": "b\n"})
    assert find_merge(repository, "main", "r1/merge") is None
    first = merged(repository, change, "r1")
    assert first == merged(repository, change, "r1")
    assert find_merge(repository, "main", "r1/mer") is None


def test_a_conflict_names_the_files_and_moves_nothing(
    user: UserRepository, repository: Repository, tmp_path: Path
) -> None:
    mine = change_of(repository, tmp_path, "r1", **{"notes.txt": "one\n"})
    other = change_of(repository, tmp_path, "r2", **{"notes.txt": "two\n"})
    first = merged(repository, mine, "r1")
    before = user.state()
    with pytest.raises(IntegrationFailed, match=r"conflicts in notes\.txt"):
        merged(repository, other, "r2")
    assert first.commit == user.git("rev-parse", "phasegate/main")
    assert before == user.state()


def test_files_merge_as_their_attributes_say(user: UserRepository, repository: Repository, tmp_path: Path) -> None:
    user.git("stash", "-q", "-u")
    user.commit(**{".gitattributes": "notes.txt merge=union\n"})
    mine = change_of(repository, tmp_path, "r1", **{"notes.txt": "a\nb\nc\none\n"})
    other = change_of(repository, tmp_path, "r2", **{"notes.txt": "a\nb\nc\ntwo\n"})
    merged(repository, mine, "r1")
    done = merged(repository, other, "r2")
    assert repository.read_file(done.commit, "notes.txt") == b"a\nb\nc\none\ntwo\n"


def test_a_revert_takes_out_only_its_merge(user: UserRepository, repository: Repository, tmp_path: Path) -> None:
    before = user.state()
    first = merged(repository, change_of(repository, tmp_path, "r1", **{"app.py": "print('two')\n"}), "r1")
    merged(repository, change_of(repository, tmp_path, "r2", **{"c.py": "c\n"}), "r2")
    assert find_revert(repository, "main", "r1/revert") is None
    revert_ = revert(repository, first, "main", key="r1/revert")
    assert revert_ == find_revert(repository, "main", "r1/revert") == revert(repository, first, "main", key="r1/revert")
    undone = revert_.commit
    assert undone == repository.base("main").commit
    assert repository.read_file(undone, "app.py") == b"print('one')\n"
    assert repository.read_file(undone, "c.py") == b"c\n"
    assert user.git("log", "-1", "--format=%(trailers:key=Phasegate-Run,valueonly)", undone) == "r1"
    assert before == user.state()


def test_a_revert_that_conflicts_says_where(user: UserRepository, repository: Repository, tmp_path: Path) -> None:
    first = merged(repository, change_of(repository, tmp_path, "r1", **{"app.py": "print('two')\n"}), "r1")
    merged(repository, change_of(repository, tmp_path, "r2", **{"app.py": "print('three')\n"}), "r2")
    with pytest.raises(IntegrationFailed, match=r"cannot be reverted on main: conflicts in app\.py"):
        revert(repository, first, "main", key="r1/revert")


def test_a_merge_that_a_person_took_out_needs_no_revert(
    user: UserRepository, repository: Repository, tmp_path: Path
) -> None:
    first = merged(repository, change_of(repository, tmp_path, "r1", **{"b.py": "b\n"}), "r1")
    user.git("branch", "-D", "phasegate/main")
    assert user.git("rev-parse", "main") == revert(repository, first, "main", key="r1/revert").commit


def test_a_revert_names_the_branch_that_it_is_on(user: UserRepository, repository: Repository, tmp_path: Path) -> None:
    """Mutation tried: `revert` returns the branch of the merge."""
    first = merged(repository, change_of(repository, tmp_path, "r1", **{"b.py": "b\n"}), "r1")
    user.git("stash", "-q", "-u")
    user.git("merge", "-q", "phasegate/main")
    assert [repository.branch_with("main", first.commit), first.ref] == ["main", "refs/heads/phasegate/main"]
    user.git("switch", "-q", "-c", "elsewhere")
    undone = revert(repository, first, "main", key="r1/revert")
    assert undone == find_revert(repository, "main", "r1/revert")
    assert undone.ref == "refs/heads/main"
    assert undone.commit == user.git("rev-parse", "main")
    assert first.commit == user.git("rev-parse", "phasegate/main")


def test_a_commit_of_the_integration_branch_alone_is_its_own(
    user: UserRepository, repository: Repository, tmp_path: Path
) -> None:
    first = merged(repository, change_of(repository, tmp_path, "r1", **{"b.py": "b\n"}), "r1")
    assert repository.branch_with("main", first.previous) == "main"
    assert repository.branch_with("main", first.commit) == "phasegate/main"
    assert repository.branch_with("main", "0" * 40) == "main"
    assert repository.branch_with("trunk", first.commit) == "trunk"


def test_no_branch_is_free_to_move(user: UserRepository, repository: Repository, tmp_path: Path) -> None:
    change = change_of(repository, tmp_path, "r1", **{"b.py": "b\n"})
    user.git("worktree", "add", "-q", "-b", "phasegate/main", str(tmp_path / "aside"))
    with pytest.raises(IntegrationFailed, match="both main and phasegate/main are checked out"):
        merged(repository, change, "r1")


def test_diverged_branches_stop_an_integration(user: UserRepository, repository: Repository, tmp_path: Path) -> None:
    change = change_of(repository, tmp_path, "r1", **{"b.py": "b\n"})
    other = change_of(repository, tmp_path, "r2", **{"c.py": "c\n"})
    merged(repository, change, "r1")
    user.git("stash", "-q", "-u")
    user.commit("Meanwhile", **{"d.py": "d\n"})
    with pytest.raises(IntegrationFailed, match="diverged"):
        merged(repository, other, "r2")


def test_what_is_merged_is_the_tree_that_was_graded(
    user: UserRepository, repository: Repository, tmp_path: Path
) -> None:
    change = change_of(repository, tmp_path, "r1", **{"app.py": "print('two')\n", "test_app.py": "assert True\n"})
    graded = change_of(repository, tmp_path, "r2", **{"app.py": "print('two')\n"}).tree
    released = released_change(repository, change, graded)
    keep_released(repository, change, graded, "r1")
    assert released_change(repository, change, graded) == released
    assert user.git("rev-parse", f"refs/phasegate/r1/released/{graded}") == released.commit
    assert user.git("log", "-1", "--format=%an %P %B", released.commit) == user.git(
        "log", "-1", "--format=%an %P %B", change.commit
    )
    done = merged(repository, released, "r1")
    assert user.git("rev-parse", f"{done.commit}^{{tree}}") == graded
    assert user.git("rev-parse", f"{done.commit}^2") == released.commit


def test_a_change_that_is_its_own_graded_tree_or_was_graded_without_one_is_released_as_it_is(
    repository: Repository, tmp_path: Path
) -> None:
    change = change_of(repository, tmp_path, "r1", **{"app.py": "print('two')\n"})
    assert released_change(repository, change, change.tree) == change
    assert released_change(repository, change, "") == change
    keep_released(repository, change, change.tree, "r1")
    assert repository.git.line("for-each-ref", "refs/phasegate/r1/released") == ""


def test_another_tree_than_the_graded_one_is_refused(repository: Repository, tmp_path: Path) -> None:
    """Mutation tried: no `require_tree` in `merge`; none in `released_change`."""
    change = change_of(repository, tmp_path, "r1", **{"app.py": "print('two')\n"})
    other = change_of(repository, tmp_path, "r2", **{"app.py": "print('three')\n"})
    before = repository.base("main")
    with pytest.raises(IntegrationFailed, match="the ledger has"):
        merged(repository, change.model_copy(update={"tree": other.tree}), "r1")
    with pytest.raises(IntegrationFailed, match="the ledger has"):
        released_change(repository, change.model_copy(update={"tree": other.tree}), other.tree)
    with pytest.raises(IntegrationFailed, match="not in the repository"):
        released_change(repository, change, "1" * 40)
    assert repository.base("main") == before


def test_a_branch_that_leads_to_another_is_not_followed(
    user: UserRepository, repository: Repository, tmp_path: Path
) -> None:
    """Mutation tried: no question whether the ref is symbolic."""
    change = change_of(repository, tmp_path, "run-1", hello="one")
    user.git("branch", "victim")
    user.git("symbolic-ref", "refs/heads/phasegate/main", "refs/heads/victim")
    before = user.git("rev-parse", "victim")
    with pytest.raises(IntegrationFailed, match="leads to refs/heads/victim"):
        merged(repository, change, "run-1")
    assert user.git("rev-parse", "victim") == before
