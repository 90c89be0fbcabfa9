"""P10: no agent-run command reads a secret, writes outside its workspace, or reaches the network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from phasegate.infra.errors import SandboxMissing
from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox import Sandbox, check, open_sandbox
from phasegate.infra.sandbox.overlay import overlays_work
from phasegate.infra.workspace import Repository, Workspace

LONG = timedelta(seconds=60)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "ledger.db").write_text("ledger")
    return tmp_path / "state"


@pytest.fixture
def folder(state: Path) -> Path:
    (state / "workspaces" / "r1").mkdir(parents=True)
    return state / "workspaces" / "r1"


@pytest.fixture
def sandbox(state: Path) -> Sandbox:
    return open_sandbox(SandboxPolicy(), state)


async def output(sandbox: Sandbox, folder: Path, command: str) -> str:
    return (await sandbox.run(command, folder=folder, timeout=LONG)).output


async def test_other_folders_do_not_exist(sandbox: Sandbox, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret").write_text("hunter2")
    (folder / "link").symlink_to(tmp_path / "other" / "secret")
    home = Path.home() / ".ssh"
    home.mkdir(exist_ok=True)
    (home / "id_ed25519").write_text("hunter2")
    command = (
        f"cat {tmp_path}/other/secret link {home}/id_ed25519 {folder.parents[1]}/ledger.db; ls {folder.parents[1]}"
    )
    said = await output(sandbox, folder, command)
    assert "hunter2" not in said
    assert "ledger\n" not in said
    assert said.endswith("workspaces\n")


async def test_a_state_folder_below_a_toolchain_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "tool"
    for name in ("bin", "lib", "state/ws"):
        (tool / name).mkdir(parents=True)
    (tool / "state" / "ledger.db").write_text("hunter2")
    (tool / "lib" / "library").write_text("shown")
    monkeypatch.setenv("PATH", f"{tool}/bin:{os.environ['PATH']}")
    sandbox = open_sandbox(SandboxPolicy(), tool / "state")
    said = await output(sandbox, tool / "state" / "ws", f"cat {tool}/lib/library {tool}/state/ledger.db")
    assert "shown" in said
    assert "hunter2" not in said


async def test_files_only_root_may_read_stay_unread(sandbox: Sandbox, folder: Path) -> None:
    result = await sandbox.run(["cat", "/etc/shadow"], folder=folder, timeout=LONG)
    assert result.exit_code != 0
    assert "Permission denied" in result.output


async def test_only_the_workspace_can_be_written(sandbox: Sandbox, folder: Path, tmp_path: Path) -> None:
    """P10. Mutation tried: the system bound writable, `--bind` for `--ro-bind`."""
    (tmp_path / "also").mkdir()
    places = ["/usr/x", "/etc/x", "/x", f"{sys.prefix}/x"]
    command = "; ".join(f"(echo bad > {place}) 2>/dev/null && echo wrote {place}" for place in places)
    result = await sandbox.run(
        f"{command}; echo ok > in; echo ok > {tmp_path}/also/out; echo lost > {tmp_path}/stray",
        folder=folder,
        timeout=LONG,
        writable=[tmp_path / "also"],
    )
    assert "wrote" not in result.output
    assert (folder / "in").exists()
    assert (tmp_path / "also" / "out").exists()
    assert not (tmp_path / "stray").exists()


async def test_the_walls_cannot_be_taken_down(sandbox: Sandbox, folder: Path) -> None:
    command = (
        "mount -o remount,rw,bind /usr && echo down; umount /etc/ssl/private /tmp && echo down; chroot / && echo up"
    )
    assert "down" not in await output(sandbox, folder, command)
    said = await output(
        sandbox, folder, "unshare -Urm sh -c 'umount /tmp && echo down; mount -o remount,rw /usr && echo down'"
    )
    assert "down" not in said


@pytest.fixture
def outside() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "431"]) as process:
        yield process
        process.kill()


async def test_processes_outside_are_out_of_sight(
    sandbox: Sandbox, folder: Path, outside: subprocess.Popen[bytes]
) -> None:
    said = await output(sandbox, folder, f"ls /proc | grep -c '^[0-9]'; kill -9 {outside.pid}; kill -9 -1")
    assert int(said.split()[0]) < 10
    assert outside.poll() is None


@pytest.fixture
def worktree(state: Path, tmp_path: Path) -> Workspace:
    project = tmp_path / "project"
    for words in (
        ["init", "-q", str(project)],
        ["-C", str(project), "commit", "-q", "--allow-empty", "-m", "First one"],
        ["-C", str(project), "config", "remote.origin.url", "https://u:hunter2@example.org/x.git"],
    ):
        subprocess.run(["git", *words], check=True)
    (project / ".git" / "hooks" / "post-commit").write_text("hunter2")
    repository = Repository.open(project)
    return Workspace.create(repository, "r1", repository.base().commit, state / "workspaces" / "r2")


async def test_git_in_a_worktree_reads_history_and_nothing_else(worktree: Workspace, sandbox: Sandbox) -> None:
    folder, common = worktree.folder, worktree.repository.git.git_dir
    (folder / "new.py").write_text("x")
    said = await output(sandbox, folder, "git status --short; git log --format=%s; git diff --stat; git add -A")
    assert "?? new.py\nFirst one\n" in said
    assert "Read-only file system" in said
    for command in (f"cat {common}/config", f"ls {common}/hooks {common.parent}", "git config -l", "git commit -am x"):
        assert "hunter2" not in await output(sandbox, folder, command)
    await output(sandbox, folder, "rm -f .git; mv .git elsewhere; echo 'gitdir: /' > .git")
    assert (folder / ".git").read_text() == f"gitdir: {worktree.records}\n"


async def test_the_arguments_of_process_1_name_no_path_of_the_host(sandbox: Sandbox, folder: Path) -> None:
    """Mutation tried: the walls as arguments of bwrap itself."""
    lines = await output(sandbox, folder, "tr '\\0' '\\n' </proc/1/cmdline; ls -l /proc/1/fd")
    assert "--args" in lines
    assert "/dev/null" not in lines.replace("-> /dev/null", "")
    assert "memfd" not in lines


@pytest.mark.parametrize("inside", [True, False])
async def test_a_forged_git_link_shows_nothing(inside: bool, sandbox: Sandbox, folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    (secret / "worktrees" / "x").mkdir(parents=True)
    (secret / "refs").mkdir()
    (secret / "refs" / "token").write_text("hunter2")
    (secret / "config").touch()
    records = (folder / "worktrees" / "x") if inside else (secret / "worktrees" / "x")
    records.mkdir(parents=True, exist_ok=True)
    (folder / ".git").write_text(f"gitdir: {records}\n")
    if inside:
        (records / "gitdir").write_text(f"{folder}/.git\n")
        (records / "commondir").write_text("../..\n")
        (folder / "config").touch()
        (folder / "refs").symlink_to(secret / "refs")
    assert "hunter2" not in await output(sandbox, folder, f"cat {secret}/refs/token refs/token")


def test_a_machine_without_bubblewrap_says_what_to_install(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(state))
    with pytest.raises(SandboxMissing, match="not installed") as caught:
        open_sandbox(SandboxPolicy(), state)
    assert "apt-get install bubblewrap" in caught.value.remedy
    assert 'backend = "none"' in caught.value.remedy


def test_a_bubblewrap_that_does_not_work_says_why(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (state / "bwrap").write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2; exit 1\n")
    (state / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{state}:{os.environ['PATH']}")
    with pytest.raises(SandboxMissing, match="No permissions to create new namespace"):
        check(SandboxPolicy(), state)


def test_doctor_says_what_there_is(state: Path) -> None:
    assert check(SandboxPolicy(), state).startswith("bubblewrap: ")
    assert check(SandboxPolicy(backend="none"), state).startswith("none: ")


async def test_the_workspace_stands_where_it_is_told(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("here\n")
    command = "pwd; cat note; echo written > left"

    done = await sandbox.run(command, folder=tmp_path, timeout=LONG, inside=Path("/srv/app"))

    assert done.output.split() == ["/srv/app", "here"]
    assert (tmp_path / "left").read_text() == "written\n"


async def test_what_lies_beneath_a_workspace_is_seen_and_never_written(sandbox: Sandbox, tmp_path: Path) -> None:
    """Mutation tried: the folder beneath bound over the workspace."""
    folder, beneath = tmp_path / "a, b" / "checkout", tmp_path / "layer: one"
    for place, name in ((folder, "own"), (beneath, "theirs"), (beneath, "gone"), (beneath, "own")):
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"{name} of {place.name}\n")
    if not overlays_work(folder.parent):
        pytest.skip("no overlay can be mounted here: the engine is no root, or this file system can be no upper one")
    command = "cat own theirs; echo new > theirs; rm gone; echo more > more; ls"
    done = await sandbox.run(command, folder=folder, timeout=LONG, inside=Path("/srv/app"), beneath=beneath)
    again = await sandbox.run("cat theirs; ls", folder=folder, timeout=LONG, inside=Path("/srv/app"), beneath=beneath)
    assert done.output.splitlines() == ["own of checkout", "theirs of layer: one", "more", "own", "theirs"]
    assert again.output.splitlines() == ["new", "more", "own", "theirs"]
    assert {path.name: path.read_text() for path in beneath.iterdir()} == {
        name: f"{name} of layer: one\n" for name in ("theirs", "gone", "own")
    }
