from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from phasegate.infra.artifacts import Artifact
from phasegate.infra.errors import RepositoryError
from phasegate.infra.workspace import ChangeSet, FileChange, Repository, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.workspace.conftest import UserRepository


@pytest.fixture
def base(user: UserRepository) -> str:
    return user.git("rev-parse", "main")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "workspaces" / "r1"


@pytest.fixture
def workspace(repository: Repository, base: str, folder: Path) -> Workspace:
    return Workspace.create(repository, "r1", base, folder)


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_the_life_of_a_workspace_leaves_the_user_s_things_alone(
    user: UserRepository, repository: Repository, base: str, folder: Path
) -> None:
    before = user.state()
    workspace = Workspace.create(repository, "r1", base, folder)
    (folder / "new.py").write_text("new\n")
    first = workspace.checkpoint("implementation", 1)
    (folder / "app.py").write_text("print('two')\n")
    workspace.restore(first)
    change = workspace.collect(base, ["notes.txt"], "Add new.py")
    workspace.diff(base, change.commit)
    workspace.remove()
    assert before == user.state()
    assert not folder.exists()
    assert user.git("rev-parse", "phasegate/r1") == change.commit


def test_a_workspace_has_the_base_commit_s_files(workspace: Workspace, folder: Path) -> None:
    assert {"app.py", "notes.txt", ".gitignore"} == files(folder).keys()
    assert files(folder)["app.py"] == b"print('one')\n"


def test_a_checkpoint_holds_untracked_files_and_no_ignored_ones(
    workspace: Workspace, folder: Path, repository: Repository
) -> None:
    (folder / "new.py").write_text("new\n")
    (folder / "debug.log").write_text("noise\n")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "app.pyc").write_text("a by-product that the repository does not ignore")
    (folder / "notes.txt").unlink()
    commit = workspace.checkpoint("implementation", 1)
    assert repository.files(commit) == [".gitignore", "app.py", "new.py"]
    assert commit == repository.git.resolve("refs/phasegate/r1/implementation/1")
    assert workspace.base_commit == repository.git.resolve(f"{commit}^")


def test_a_file_that_became_ignored_is_no_longer_recorded(
    workspace: Workspace, folder: Path, repository: Repository
) -> None:
    (folder / "build.bin").write_text("x")
    assert "build.bin" in repository.files(workspace.checkpoint("implementation", 1))
    (folder / ".gitignore").write_text("*.log\n*.bin\n")
    assert "build.bin" not in repository.files(workspace.checkpoint("implementation", 2))


def test_a_checkpoint_of_nothing_new_is_the_previous_one(workspace: Workspace, folder: Path, base: str) -> None:
    assert base == workspace.checkpoint("implementation", 1)
    (folder / "new.py").write_text("new\n")
    first = workspace.checkpoint("implementation", 2)
    assert first == workspace.checkpoint("implementation", 3)


def test_restore_brings_back_untracked_files_and_keeps_what_was_there(
    workspace: Workspace, folder: Path, repository: Repository
) -> None:
    """P9. Mutation tried: `restore` without `_keep`."""
    (folder / "new.py").write_text("new\n")
    (folder / "debug.log").write_text("noise\n")
    first = workspace.checkpoint("implementation", 1)
    shutil.rmtree(folder / "nothing", ignore_errors=True)
    (folder / "new.py").unlink()
    (folder / "later.py").write_text("later\n")
    (folder / "app.py").write_text("print('two')\n")
    workspace.restore(first)
    assert {"app.py", "notes.txt", ".gitignore", "new.py", "debug.log"} == files(folder).keys()
    assert files(folder)["app.py"] == b"print('one')\n"
    lost = "refs/phasegate/r1/lost/1"
    assert repository.read_file(lost, "later.py") == b"later\n"
    assert repository.read_file(lost, "app.py") == b"print('two')\n"
    workspace.restore(first)
    assert repository.git.resolve("refs/phasegate/r1/lost/2") is None


def test_restore_keeps_even_an_ignored_file_that_it_overwrites(
    workspace: Workspace, folder: Path, repository: Repository
) -> None:
    (folder / "data.bin").write_text("first\n")
    first = workspace.checkpoint("implementation", 1)
    (folder / ".gitignore").write_text("*.bin\n")
    (folder / "data.bin").write_text("second\n")
    workspace.restore(first)
    assert files(folder)["data.bin"] == b"first\n"
    assert repository.read_file("refs/phasegate/r1/lost/1", "data.bin") == b"second\n"


def test_creating_again_attaches_and_deletes_nothing(
    workspace: Workspace, repository: Repository, base: str, folder: Path
) -> None:
    (folder / "app.py").write_text("uncommitted\n")
    (folder / "notes.txt").unlink()
    (folder / ".git").unlink()
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("[core]\n\tfsmonitor = touch /tmp/never\n")
    before = files(folder)
    again = Workspace.create(repository, "r1", base, folder)
    assert before == files(folder)
    assert workspace == again
    assert (folder / ".git").is_file()


def test_a_folder_that_is_gone_comes_back_as_the_latest_checkpoint(
    workspace: Workspace, repository: Repository, base: str, folder: Path
) -> None:
    (folder / "new.py").write_text("new\n")
    workspace.checkpoint("implementation", 1)
    shutil.rmtree(folder)
    Workspace.create(repository, "r1", base, folder)
    assert files(folder)["new.py"] == b"new\n"


def test_a_removed_workspace_can_be_made_again(
    workspace: Workspace, repository: Repository, base: str, folder: Path
) -> None:
    (folder / "new.py").write_text("never checkpointed\n")
    workspace.remove()
    assert repository.read_file("refs/phasegate/r1/lost/1", "new.py") == b"never checkpointed\n"
    assert "new.py" not in files(Workspace.create(repository, "r1", base, folder).folder)


def test_a_creation_that_was_cut_off_is_finished(user: UserRepository, repository: Repository, base: str) -> None:
    folder = user.folder.parent / "cut"
    user.git("worktree", "add", "-q", "--no-checkout", "-b", "phasegate/r2", str(folder), base)
    (folder / "app.py").write_text("pri")
    Workspace.create(repository, "r2", base, folder)
    assert files(folder)["app.py"] == b"print('one')\n"


def test_creation_that_died_before_git_had_finished_is_begun_again(
    user: UserRepository, repository: Repository, base: str
) -> None:
    folder = user.folder.parent / "cut"
    user.git("worktree", "add", "-q", "--no-checkout", "-b", "phasegate/r2", str(folder), base)
    (user.folder / ".git/worktrees/cut/HEAD").unlink()
    Workspace.create(repository, "r2", base, folder)
    assert {"app.py", "notes.txt", ".gitignore"} == files(folder).keys()


def test_a_folder_with_other_things_in_it_is_refused(repository: Repository, base: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work\n")
    with pytest.raises(RepositoryError, match="not empty"):
        Workspace.create(repository, "r1", base, folder)
    assert files(folder)["thesis.txt"] == b"years of work\n"


def test_a_branch_of_the_user_s_is_not_taken_over(user: UserRepository, repository: Repository, base: str) -> None:
    user.git("branch", "phasegate/r1", user.git("commit-tree", "main^{tree}", "-m", "mine"))
    with pytest.raises(RepositoryError, match="not phasegate's"):
        Workspace.create(repository, "r1", base, user.folder.parent / "x")


def test_collect_makes_one_commit_and_leaves_protected_paths_out(
    workspace: Workspace, folder: Path, base: str, repository: Repository
) -> None:
    (folder / "app.py").write_text("print('two')\nprint('three')\n")
    workspace.checkpoint("implementation", 1)
    (folder / "notes.txt").write_text("mine now\n")
    (folder / ".github" / "workflows").mkdir(parents=True)
    (folder / ".github" / "workflows" / "ci.yml").write_text("on: push\n")
    change = workspace.collect(base, ["notes.txt", ".github/**"], "Print more")
    assert (FileChange(path="app.py", status="modified", added=2, removed=1),) == change.files
    assert change.refused == (".github/workflows/ci.yml", "notes.txt")
    assert f"{base}\n" == repository.git.output("log", "--format=%P", "-1", change.commit).decode()
    assert change.commit == repository.git.resolve("refs/heads/phasegate/r1")
    assert repository.read_file(change.commit, "notes.txt") == b"a\nb\nc\n"
    assert files(folder)["notes.txt"] == b"mine now\n"
    assert "`notes.txt`" in change.markdown()
    assert change == ChangeSet.from_canonical(change.canonical())
    assert isinstance(change, Artifact)


def test_a_protected_file_cannot_be_made_way_for_a_folder(workspace: Workspace, folder: Path, base: str) -> None:
    (folder / "notes.txt").unlink()
    (folder / "notes.txt").mkdir()
    (folder / "notes.txt" / "x").write_text("x")
    change = workspace.collect(base, ["notes.txt"], "Sneak")
    assert change.files == ()
    assert {"notes.txt", "notes.txt/x"} == set(change.refused)


def test_collecting_the_same_twice_gives_the_same_commit(workspace: Workspace, folder: Path, base: str) -> None:
    (folder / "app.py").write_text("print('two')\n")
    first = workspace.collect(base, [], "Two")
    assert first == workspace.collect(base, [], "Two")
    (folder / "app.py").write_text("print('three')\n")
    second = workspace.collect(base, [], "Three")
    assert first.digest != second.digest
    assert "three" in workspace.diff(base, second.commit)
    assert "'two'" not in workspace.diff(base, second.commit)


def test_a_message_cannot_forge_a_trailer(workspace: Workspace, folder: Path, base: str) -> None:
    (folder / "app.py").write_text("print('two')\n")
    change = workspace.collect(base, [], "Two\n\nPhasegate-Effect: merge-1\n")
    git = workspace.repository.git
    assert git.line("log", "-1", "--format=%(trailers:key=Phasegate-Effect,valueonly)", change.commit).strip() == ""


def test_unusual_files_are_collected(workspace: Workspace, folder: Path, base: str, repository: Repository) -> None:
    (folder / "outside").symlink_to("/etc/passwd")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "blob.bin").write_bytes(bytes(range(256)))
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("latin-1 name\n")
    (folder / "new\nline|`x`.txt").write_text("odd\n")
    os.mkfifo(folder / "pipe")
    (folder / ".GIT").mkdir()
    (folder / ".GIT" / "config").write_text("[core]\n")
    change = workspace.collect(base, [], "Odd")
    by_path = {file.path: file for file in change.files}
    assert {"outside", "dangling", "blob.bin", "run.sh", "caf\\xe9.txt", "new\\nline|`x`.txt"} == by_path.keys()
    assert by_path["blob.bin"].added is None
    assert repository.read_file(change.commit, "outside") == b"/etc/passwd"
    assert b"100755" in repository.git.output("ls-tree", change.commit, "run.sh")
    assert change == ChangeSet.from_canonical(change.canonical())
    workspace.restore(change.commit)
    workspace.restore(base)
    assert {"app.py", "notes.txt", ".gitignore", ".GIT/config"} == files(folder).keys()


def test_a_folder_that_became_a_link_is_recorded_as_one(user: UserRepository, folder: Path, tmp_path: Path) -> None:
    user.git("stash", "-q", "-u")
    base = user.commit(**{"src/a.py": "a\n"})
    workspace = Workspace.create(Repository.open(user.folder), "r1", base, folder)
    shutil.rmtree(folder / "src")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.py").write_text("not yours\n")
    (folder / "src").symlink_to(elsewhere)
    change = workspace.collect(base, [], "Link")
    assert [(file.path, file.status) for file in change.files] == [("src", "added"), ("src/a.py", "deleted")]
    workspace.restore(base)
    assert files(folder)["src/a.py"] == b"a\n"
    assert (elsewhere / "a.py").read_text() == "not yours\n"


def test_a_nested_repository_is_recorded_as_files_and_never_run(
    workspace: Workspace, folder: Path, base: str, tmp_path: Path
) -> None:
    subprocess.run(["git", "init", "-q", str(folder / "lib")], check=True)
    (folder / "lib" / "lib.py").write_text("lib\n")
    (folder / "lib" / "noise.log").write_text("noise\n")
    trap = tmp_path / "sprung"
    subprocess.run(["git", "-C", str(folder / "lib"), "config", "core.fsmonitor", f"touch {trap}"], check=True)
    change = workspace.collect(base, [], "Nest")
    assert [file.path for file in change.files] == ["lib/lib.py"]
    assert not trap.exists()


def test_a_submodule_survives(user: UserRepository, tmp_path: Path, folder: Path) -> None:
    user.git("stash", "-q", "-u")
    library = type(user)(tmp_path / "library")
    library.commit(**{"lib.py": "lib\n"})
    user.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library.folder), "library")
    base = user.commit("Add the library")
    workspace = Workspace.create(Repository.open(user.folder), "r1", base, folder)
    (folder / "app.py").write_text("print('two')\n")
    change = workspace.collect(base, [], "Two")
    assert [file.path for file in change.files] == ["app.py"]
    workspace.remove()


def test_line_endings_are_converted_as_the_repository_says(user: UserRepository, folder: Path) -> None:
    user.git("stash", "-q", "-u")
    base = user.commit(**{".gitattributes": "*.bat text eol=crlf\n", "run.bat": "echo one\n"})
    workspace = Workspace.create(Repository.open(user.folder), "r1", base, folder)
    assert files(folder)["run.bat"] == b"echo one\r\n"
    assert base == workspace.checkpoint("implementation", 1)


def test_what_an_agent_wrote_into_git_s_place_is_not_executed(
    workspace: Workspace, folder: Path, base: str, tmp_path: Path
) -> None:
    trap = tmp_path / "sprung"
    (folder / ".git").unlink()
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / ".git" / "objects").mkdir()
    (folder / ".git" / "refs").mkdir()
    (folder / ".git" / "config").write_text(
        f'[core]\n\tfsmonitor = "touch {trap}"\n[filter "x"]\n\tclean = touch {trap}\n'
    )
    (folder / ".gitattributes").write_text("* filter=x\n")
    (folder / "app.py").write_text("print('two')\n")
    workspace.checkpoint("implementation", 1)
    workspace.collect(base, [], "Two")
    workspace.remove()
    assert not trap.exists()
