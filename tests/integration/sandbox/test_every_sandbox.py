"""Contract of every sandbox backend."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox import Sandbox, open_sandbox

LONG = timedelta(seconds=60)


@pytest.fixture(params=["bubblewrap", "none"])
def policy(request: pytest.FixtureRequest) -> SandboxPolicy:
    return SandboxPolicy(backend=request.param)


@pytest.fixture
def strict(policy: SandboxPolicy, tmp_path: Path) -> Sandbox:
    narrow = {"memory": 256 * 1024**2, "pids": 30, "cpu_seconds": 3}
    return open_sandbox(policy.model_copy(update=narrow), tmp_path / "state")


@pytest.fixture
def sandbox(policy: SandboxPolicy, tmp_path: Path) -> Sandbox:
    return open_sandbox(policy, tmp_path / "state")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "state" / "work space").mkdir(parents=True)
    return tmp_path / "state" / "work space"


def running(marker: str) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and marker.encode() in (entry / "cmdline").read_bytes():
                yield int(entry.name)
        except OSError:
            continue


async def gone(marker: str) -> bool:
    deadline = time.monotonic() + 10
    while any(running(marker)):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True


async def test_a_command_writes_its_workspace(sandbox: Sandbox, folder: Path) -> None:
    result = await sandbox.run("echo hello > out; pwd; echo oops >&2; exit 3", folder=folder, timeout=LONG)
    assert (result.exit_code, result.output, result.timed_out) == (3, f"{folder}\noops\n", False)
    assert (folder / "out").read_text() == "hello\n"


async def test_a_program_gets_its_arguments_unchanged(sandbox: Sandbox, folder: Path) -> None:
    result = await sandbox.run(["printf", "%s|", "a b", "$HOME", "*"], folder=folder, timeout=LONG)
    assert result.output == "a b|$HOME|*|"


async def test_output_is_handed_on_while_the_command_runs(sandbox: Sandbox, folder: Path) -> None:
    def hear(text: str) -> None:
        (folder / "heard").write_text(text)

    command = "echo ready; while [ ! -e heard ]; do sleep 0.01; done; cat heard"
    result = await sandbox.run(command, folder=folder, timeout=LONG, on_output=hear)
    assert result.output == "ready\nready\n"


async def test_a_listener_that_fails_ends_the_command(sandbox: Sandbox, folder: Path) -> None:
    def refuse(_: str) -> None:
        raise KeyError("listener")

    with pytest.raises(KeyError, match="listener"):
        await sandbox.run("echo x; sleep 421", folder=folder, timeout=LONG, on_output=refuse)
    assert await gone("sleep\x00421")


async def test_long_output_is_cut_in_the_middle(sandbox: Sandbox, folder: Path) -> None:
    result = await sandbox.run("seq 1 100000", folder=folder, timeout=LONG, output_limit=1000)
    assert result.output.startswith("1\n2\n")
    assert result.output.endswith("99999\n100000\n")
    assert "bytes left out" in result.output
    assert len(result.output) < 1100


async def test_time_up_ends_everything_the_command_started(sandbox: Sandbox, folder: Path) -> None:
    command = "sleep 422 & (setsid sleep 422 &) ; echo started; sleep 422"
    result = await sandbox.run(command, folder=folder, timeout=timedelta(seconds=0.5))
    assert (result.exit_code, result.timed_out, result.output) == (124, True, "started\n")
    assert result.duration_seconds < 5
    assert await gone("sleep\x00422")


async def test_cancelling_ends_everything_the_command_started(sandbox: Sandbox, folder: Path) -> None:
    started = asyncio.Event()
    command = "sleep 423 & echo started; sleep 423"
    running_command = asyncio.create_task(
        sandbox.run(command, folder=folder, timeout=LONG, on_output=lambda _: started.set())
    )
    await started.wait()
    running_command.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running_command
    assert await gone("sleep\x00423")


async def test_nothing_outlives_the_command(sandbox: Sandbox, folder: Path) -> None:
    result = await sandbox.run("sleep 424 & echo done", folder=folder, timeout=LONG)
    assert (result.exit_code, result.output) == (0, "done\n")
    assert await gone("sleep\x00424")


async def test_a_fork_bomb_is_stopped(strict: Sandbox, folder: Path) -> None:
    (folder / "bomb.sh").write_text("sh bomb.sh & sh bomb.sh & wait\n")
    result = await strict.run("sh bomb.sh", folder=folder, timeout=LONG)
    assert result.exit_code != 0
    assert result.stopped == "more than 30 processes"
    assert await gone("sh\x00bomb.sh")


async def test_memory_is_limited(strict: Sandbox, folder: Path) -> None:
    result = await strict.run([sys.executable, "-c", "x = b'x' * 400 * 1024**2"], folder=folder, timeout=LONG)
    assert "MemoryError" in result.output


async def test_memory_is_limited_over_all_processes(strict: Sandbox, folder: Path) -> None:
    (folder / "hog.py").write_text("import time; x = b'x' * 100 * 1024**2; time.sleep(60)")
    command = f"for n in 1 2 3 4; do {sys.executable} hog.py & done; wait"
    result = await strict.run(command, folder=folder, timeout=LONG)
    assert result.stopped == "more than 256 MiB of memory"


async def test_processor_time_is_limited_over_all_processes(strict: Sandbox, folder: Path) -> None:
    command = "for n in 1 2 3 4; do (while :; do :; done) & done; wait"
    result = await strict.run(command, folder=folder, timeout=LONG)
    assert result.stopped == "more than 3 s of processor time"


async def test_the_environment_is_what_policy_lets_in(
    policy: SandboxPolicy, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    monkeypatch.setenv("COLOUR", "blue")
    sandbox = open_sandbox(policy.model_copy(update={"environment": ("COLOUR",)}), folder.parent)
    command = "env; cat /proc/self/environ /proc/$PPID/environ | tr '\\0' '\\n'"
    result = await sandbox.run(command, folder=folder, timeout=LONG, environment={"EXTRA": "1"})
    names = {line.partition("=")[0] for line in result.output.splitlines()}
    assert {"COLOUR", "EXTRA", "PATH", "HOME"} <= names
    if policy.backend == "bubblewrap":
        assert "hunter2" not in result.output
    own = {line.partition("=")[0] for line in result.output.split("PWD=")[0].splitlines()}
    assert "SECRET_TOKEN" not in own


async def test_a_signal_s_number_is_told_as_shells_do(sandbox: Sandbox, folder: Path) -> None:
    assert (await sandbox.run("kill -SEGV $$", folder=folder, timeout=LONG)).exit_code == 128 + 11


async def test_python_with_pytest_is_there_for_a_project_that_has_none(sandbox: Sandbox, folder: Path) -> None:
    (folder / "test_it.py").write_text("def test_it(): pass\n")
    environment = {"PATH": f"/usr/bin:/bin:{Path(sys.executable).parent}"}
    result = await sandbox.run("pytest -q test_it.py", folder=folder, timeout=LONG, environment=environment)
    assert "1 passed" in result.output
