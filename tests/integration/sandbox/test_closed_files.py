"""P10: files that other users of the machine may not read, sockets, and secrets beside programs are out of reach."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from phasegate.infra.errors import SandboxMissing
from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox import Sandbox, closed_files, open_sandbox

LONG = timedelta(seconds=60)
SECRET = "hunter2"
SYSTEM_FOLDERS = ["/opt", "/usr/local/etc", "/etc"]
CONNECT = """\
import socket, sys
for path in sys.argv[1:]:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        print("connected", path)
    except OSError as error:
        print(type(error).__name__)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "state" / "workspace").mkdir(parents=True)
    return tmp_path / "state" / "workspace"


def opened(workspace: Path) -> Sandbox:
    return open_sandbox(SandboxPolicy(), workspace.parent)


async def output(sandbox: Sandbox, workspace: Path, *command: str) -> str:
    done = await sandbox.run(command, folder=workspace, timeout=LONG)
    return done.output


def written(path: Path, mode: int, text: str = SECRET) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def listening() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listen(stack: ExitStack, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    server = stack.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(str(path))
    path.chmod(0o777)
    server.listen()
    return str(path)


@pytest.fixture(params=SYSTEM_FOLDERS)
def place(request: pytest.FixtureRequest) -> Iterator[Path]:
    place = Path(request.param, f"phasegate-test-{os.getpid()}")
    if not os.access(place.parent, os.W_OK):
        pytest.skip(f"{place.parent} belongs to another user: a command of this engine is no owner of files there")
    place.mkdir()
    yield place
    shutil.rmtree(place)


async def test_closed_files_of_the_system_are_out_of_reach(place: Path, workspace: Path, listening: ExitStack) -> None:
    """Mutations tried: the mode not looked at; sockets taken for files; two folders deep alone."""
    sandbox = opened(workspace)
    assert SECRET not in await output(sandbox, workspace, "cat", str(written(place / "first", 0o600)))
    deep = place / "a" / "b" / "c" / "d"
    closed = [
        written(place / "key", 0o600),
        written(place / "group", 0o640),
        written(deep / "key", 0o600),
        written(place / "app" / ".env", 0o644),
        written(place / "app" / ".git" / "config", 0o644),
        written(place / "closed" / "folder", 0o644),
    ]
    (place / "closed").chmod(0o750)
    shown = written(place / "config", 0o644, "shown")
    sockets = [listen(listening, place / "run" / "service"), listen(listening, deep / "sub" / "service")]
    sandbox = opened(workspace)
    said = await output(sandbox, workspace, "cat", *map(str, closed), str(shown))
    assert SECRET not in said
    assert "shown" in said
    assert "connected" not in await output(sandbox, workspace, "python3", "-c", CONNECT, *sockets)


async def test_a_service_that_starts_again_stays_out_of_reach(
    place: Path, workspace: Path, listening: ExitStack
) -> None:
    """Mutation tried: a mask of the socket alone, which its removal outside takes away."""
    path = place / "run" / "service"
    listen(listening, path)
    sandbox = opened(workspace)
    started = threading.Event()

    def restart(_: str) -> None:
        if not started.is_set():
            path.unlink()
            listen(listening, path)
            started.set()
            (workspace / "restarted").touch()

    wait = "import os, time\nprint('up', flush=True)\nwhile not os.path.exists('restarted'): time.sleep(.01)\n"
    script = wait + CONNECT
    done = await sandbox.run(["python3", "-c", script, str(path)], folder=workspace, timeout=LONG, on_output=restart)
    assert started.is_set()
    assert "connected" not in done.output


@pytest.mark.parametrize("has_lib", [True, False])
@pytest.mark.parametrize("entry", ["bin", ""])
async def test_of_a_project_on_path_its_programs_alone_are_shown(
    entry: str, has_lib: bool, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listening: ExitStack
) -> None:
    """Mutations tried: the prefix shown where it has a `lib`; secrets beside programs not looked for."""
    project = tmp_path / "project"
    program = written(project / entry / "tool", 0o755, "#!/bin/sh\necho ran\n")
    if has_lib:
        written(project / "lib" / "library", 0o644, "library")
    secrets = [
        *(written(project / name, 0o644) for name in (".env", "notes/plan", "deploy.key", ".git/config")),
        *(
            written(program.parent / name, 0o644)
            for name in (".env.local", "id_ed25519", ".netrc", "x.key", "a/.git/x")
        ),
        written(program.parent / "token", 0o600),
    ]
    service = listen(listening, program.parent / "service")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    sandbox = opened(workspace)
    said = await output(sandbox, workspace, "sh", "-c", f"tool; cat {' '.join(map(str, secrets))}")
    assert said.startswith("ran\n")
    assert SECRET not in said
    assert "connected" not in await output(sandbox, workspace, "python3", "-c", CONNECT, service)


async def test_a_link_into_a_project_shows_its_target_alone(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutation tried: a target's folder shown whatever it holds."""
    project = tmp_path / "project"
    script = written(project / "run.sh", 0o755, "#!/bin/sh\necho ran\n")
    secrets = [written(project / ".env", 0o644), written(project / "plan", 0o644)]
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "run").symlink_to(script)
    monkeypatch.setenv("PATH", f"{tmp_path}/links:{os.environ['PATH']}")
    said = await output(opened(workspace), workspace, "sh", "-c", f"run; cat {' '.join(map(str, secrets))}")
    assert said.startswith("ran\n")
    assert SECRET not in said


async def test_a_virtual_environment_at_a_project_s_root_is_shown_without_the_project(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutation tried: a folder with `pyvenv.cfg` shown whole."""
    project = tmp_path / "project"
    (project / "bin").mkdir(parents=True)
    written(project / "pyvenv.cfg", 0o644, "shown")
    plan = written(project / "plan", 0o644)
    monkeypatch.setenv("PATH", f"{project}/bin:{os.environ['PATH']}")
    said = await output(opened(workspace), workspace, "cat", f"{project}/pyvenv.cfg", str(plan))
    assert "shown" in said
    assert SECRET not in said


async def test_a_private_installation_works(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a umask of 077 all of a toolchain is closed to others. Mutation tried: its modes looked at."""
    tool = tmp_path / ".local" / "tool"
    written(tool / "bin" / "tool", 0o700, "#!/bin/sh\ncat ${0%/*}/../lib/library\n")
    library = written(tool / "lib" / "library", 0o600, "ran")
    for folder in (tool, tool / "bin", tool / "lib"):
        folder.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tool}/bin:{os.environ['PATH']}")
    assert await output(opened(workspace), workspace, "sh", "-c", f"tool; cat {library}") == "ran" * 2


async def test_a_closed_file_that_goes_while_the_sandbox_is_set_up_is_no_failure(
    place: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutation tried: no second attempt."""
    key = written(place / "key", 0o600)
    sandbox = opened(workspace)
    await output(sandbox, workspace, "true")
    monkeypatch.setattr(os.path, "lexists", lambda _: True)
    key.unlink()
    done = await sandbox.run("echo ran", folder=workspace, timeout=LONG)
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "ran")


async def test_many_closed_files_are_hidden_with_their_folder(
    place: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutation tried: no more than the first of them hidden."""
    monkeypatch.setattr(closed_files, "_MOST_CLOSED", 60)
    keys = [written(place / "many" / f"key{number}", 0o600) for number in range(80)]
    sandbox = opened(workspace)
    assert SECRET not in await output(sandbox, workspace, "cat", *map(str, keys))
    monkeypatch.setattr(closed_files, "_MOST_CLOSED", 0)
    with pytest.raises(SandboxMissing, match="closed to other users"):
        await output(opened(workspace), workspace, "true")


async def test_a_tree_too_large_to_be_looked_at_is_hidden(
    place: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutation tried: no bound."""
    monkeypatch.setattr(closed_files, "_MOST_ENTRIES", 50)
    files = [written(place / "large" / f"file{number}", 0o644) for number in range(60)]
    assert SECRET not in await output(opened(workspace), workspace, "cat", *map(str, files))
