"""P10, P17: what a command leaves in its workspace harms neither the engine nor other users of the machine."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from phasegate.infra.command_rules.signs import signs_in
from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox import Sandbox, open_sandbox
from phasegate.infra.system.leftovers import DEEPEST
from phasegate.infra.system.trees import remove_tree
from phasegate.infra.workspace import Repository, Workspace

LONG = timedelta(seconds=60)
DEEP = "import os\nfor _ in range({depth}):\n    open('f', 'w').close(); os.mkdir('dd'); os.chdir('dd')\n"


@pytest.fixture(params=["bubblewrap", "none"])
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Sandbox:
    return open_sandbox(SandboxPolicy(backend=request.param), tmp_path / "state")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    project = tmp_path / "project"
    for words in (["init", "-q", str(project)], ["-C", str(project), "commit", "-q", "--allow-empty", "-m", "One"]):
        subprocess.run(["git", *words], check=True)
    repository = Repository.open(project)
    folder = tmp_path / "state" / "workspaces" / "r1"
    yield Workspace.create(repository, "r1", repository.base().commit, folder)
    remove_tree(folder, ignore_errors=True)


def look(workspace: Workspace) -> None:
    """Do with a workspace what the engine does in a run."""
    checkpoint = workspace.checkpoint("implementation", 1)
    workspace.collect(workspace.base_commit, (), "A change")
    workspace.restore(checkpoint)
    workspace.remove()


@pytest.mark.parametrize("mode", ["4755", "2755", "6711", "4000"])
async def test_no_set_id_bit_stays(mode: str, sandbox: Sandbox, workspace: Workspace) -> None:
    """Mutations tried: no look at what is left; the user's bit alone."""
    command = f"mkdir -p a/b; cp /bin/sh a/b/shell; chmod {mode} a/b/shell; ln a/b/shell other; ln -s /bin/su link"
    done = await sandbox.run(command, folder=workspace.folder, timeout=LONG)
    for name in ("a/b/shell", "other"):
        assert not (workspace.folder / name).lstat().st_mode & (stat.S_ISUID | stat.S_ISGID)
    assert done.mended
    assert done.mended[0] in done.output
    assert ("kernel", "workspace") in {(sign.kind, sign.seen) for sign in signs_in(command, done)}


async def test_a_set_id_program_gives_nothing_inside(workspace: Workspace, tmp_path: Path) -> None:
    """Mounts of a sandbox are `nosuid`, and its processes gain no privileges."""
    sandbox = open_sandbox(SandboxPolicy(), tmp_path / "state")
    mounts_of = "/proc/self/mountinfo"
    command = f"grep NoNewPrivs /proc/self/status; grep -c '[ ,]nosuid[ ,]' {mounts_of}; wc -l < {mounts_of}"
    privileges, without, mounts = (
        await sandbox.run(command, folder=workspace.folder, timeout=LONG)
    ).output.splitlines()
    assert privileges.split()[-1] == "1"
    assert without == mounts


@pytest.mark.parametrize("depth", [3_000, 200])
@pytest.mark.parametrize(
    "before", ["", "import os, subprocess; subprocess.run(['git', 'init', '-q', 's']); os.chdir('s')\n"]
)
async def test_folders_too_deep_for_git_are_removed(
    before: str, depth: int, sandbox: Sandbox, workspace: Workspace
) -> None:
    """Mutation tried: no look at what is left: git's index fails, and so does the removal of a worktree."""
    script = before + DEEP.format(depth=depth)
    done = await sandbox.run(["python3", "-c", script], folder=workspace.folder, timeout=LONG)
    assert "nested too deep" in done.output
    assert (workspace.folder / "s" / "f" if before else workspace.folder / "f").is_file()
    look(workspace)
    assert not workspace.folder.exists()


async def test_paths_too_long_for_git_are_removed(sandbox: Sandbox, workspace: Workspace) -> None:
    """Mutation tried: folders counted alone."""
    script = DEEP.replace("dd", "d" * 200).format(depth=15)
    done = await sandbox.run(["python3", "-c", script], folder=workspace.folder, timeout=LONG)
    assert "nested too deep" in done.output
    look(workspace)


async def test_folders_that_git_takes_stay(sandbox: Sandbox, workspace: Workspace) -> None:
    """Mutation tried: half of the depth."""
    script = DEEP.format(depth=DEEPEST)
    done = await sandbox.run(["python3", "-c", script], folder=workspace.folder, timeout=LONG)
    assert (done.output, done.mended) == ("", ())


async def test_closed_folders_are_opened_and_removed(sandbox: Sandbox, workspace: Workspace) -> None:
    """Mutation tried, as a user who is not root: folders left closed."""
    command = "mkdir -p a/b/c; cp /bin/sh a/b/c/shell; chmod 4755 a/b/c/shell; chmod 0 a/b/c a/b a"
    await sandbox.run(command, folder=workspace.folder, timeout=LONG)
    assert not (workspace.folder / "a" / "b" / "c" / "shell").lstat().st_mode & stat.S_ISUID
    look(workspace)
    assert not workspace.folder.exists()


async def test_many_leftovers_are_few_notes(sandbox: Sandbox, workspace: Workspace) -> None:
    """Mutation tried: a note for each."""
    command = "for n in $(seq 50); do cp /bin/true t$n; chmod 4755 t$n; done"
    done = await sandbox.run(command, folder=workspace.folder, timeout=LONG)
    assert (len(done.mended), done.mended[-1]) == (21, "30 more were mended")


def test_leftovers_of_a_killed_engine_are_mended_too(workspace: Workspace) -> None:
    """Mutation tried: no look at a workspace that is there."""
    script = DEEP.format(depth=1_500) + "os.chmod('../f', 0o4755)"
    subprocess.run(["python3", "-c", script], cwd=workspace.folder, check=True)
    look(Workspace.create(workspace.repository, "r1", workspace.base_commit, workspace.folder))
    assert not workspace.folder.exists()
