"""Services beside a command, in every backend."""

from __future__ import annotations

import asyncio
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from phasegate.infra.errors import ServiceFailed
from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.policy.services import ServicePolicy
from phasegate.infra.sandbox import CommandResult, Sandbox, open_sandbox, run_with_services

LONG = timedelta(minutes=2)
PYTHON = shlex.quote(sys.executable)
DATABASE = ServicePolicy(name="db", kind="postgres")
CACHE = ServicePolicy(name="cache", kind="redis")
FILES = ServicePolicy(name="files", kind="command", start=f"exec {PYTHON} -m http.server {{port}} --bind 127.0.0.1")
COUNT = """\
import os, psycopg
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as db:
    db.execute("create table if not exists visit ()")
    db.execute("insert into visit default values")
    db.execute("create database another")
    print("visits", db.execute("select count(*) from visit").fetchone()[0])
"""
INCREASE = """\
import os, re, socket
password, host, port = re.fullmatch("redis://:(.*)@(.*):(.*)/0", os.environ["REDIS_URL"]).groups()
with socket.create_connection((host, int(port))) as redis, redis.makefile("rb") as said:
    redis.sendall(f"INCR n\\r\\nAUTH {password}\\r\\nINCR n\\r\\n".encode())
    print(said.readline()[:7].decode(), said.readline().decode().strip(), said.readline().decode().strip())
"""
FETCH = """\
import os, urllib.request
print(urllib.request.urlopen(os.environ["FILES_URL"]).status)
"""


@pytest.fixture(params=["bubblewrap", "none"])
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Sandbox:
    return open_sandbox(SandboxPolicy(backend=request.param), tmp_path / "state")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files, in which nothing may be left; one that every user can walk through."""
    assert tmp_path.exists()  # pytest's own are elsewhere
    with tempfile.TemporaryDirectory(prefix="phasegate-tests-") as name:
        Path(name).chmod(0o711)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "state" / "work space").mkdir(parents=True)
    return tmp_path / "state" / "work space"


async def run(sandbox: Sandbox, services: list[ServicePolicy], command: str | list[str], folder: Path) -> CommandResult:
    return await run_with_services(sandbox, services, command, folder=folder, timeout=LONG)


def contents(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def running(marker: str) -> list[str]:
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if entry.name.isdecimal() and any(marker in word for word in words):
            found.append(" ".join(words))
    return found


@dataclass(frozen=True)
class Case:
    service: ServicePolicy
    script: str
    said: str


KINDS = [
    Case(DATABASE, COUNT, "visits 1\n"),
    Case(CACHE, INCREASE, "-NOAUTH +OK :1\n"),
    Case(FILES, FETCH, "200\n"),
]


@pytest.mark.parametrize("case", KINDS, ids=lambda case: case.service.kind)
async def test_a_service_is_up_and_empty_for_each_command_and_gone_after_it(
    sandbox: Sandbox, folder: Path, temporary: Path, case: Case
) -> None:
    """Mutation tried: the data folder has one fixed name."""
    runs = (run(sandbox, [case.service], [sys.executable, "-c", case.script], folder) for _ in range(2))
    assert [(result.output, result.exit_code) for result in await asyncio.gather(*runs)] == [(case.said, 0)] * 2
    assert contents(temporary) == []
    assert contents(folder) == []
    assert running(str(temporary)) == []


async def test_the_command_s_own_exit_code_and_folder_are_kept(sandbox: Sandbox, folder: Path) -> None:
    result = await run(sandbox, [FILES], "pwd; exit 7", folder)
    assert (result.exit_code, result.output) == (7, f"{folder}\n")
    killed = await run(sandbox, [FILES], "kill -9 $$", folder)
    assert killed.exit_code == 137


async def test_a_command_that_is_cut_off_takes_its_services_with_it(
    sandbox: Sandbox, folder: Path, temporary: Path
) -> None:
    under_way = asyncio.create_task(run(sandbox, [DATABASE, CACHE], "touch up; sleep 1000", folder))
    while not (folder / "up").exists():
        assert not under_way.done()
        await asyncio.sleep(0.01)
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await under_way
    assert contents(temporary) == []
    assert running(str(temporary)) == []


async def test_services_that_take_all_the_time_are_not_the_command_s_fault(sandbox: Sandbox, folder: Path) -> None:
    stuck = FILES.model_copy(update={"start": "exec sleep 1000; : {port}", "start_timeout": timedelta(seconds=1)})
    with pytest.raises(ServiceFailed):
        await run_with_services(sandbox, [stuck], "touch up", folder=folder, timeout=timedelta(0))


@dataclass(frozen=True)
class Broken:
    why: str
    start: str
    ready: str = ""
    said: list[str] = field(default_factory=list[str])


BROKEN = [
    Broken(
        "ends", "echo no such table >&2; exit 3; : {port}", said=["files (command)", "exit code 3", "no such table"]
    ),
    Broken("never up", "echo warming up; exec sleep 100; : {port}", said=["was not up after 1 s", "warming up"]),
    Broken("never ready", FILES.start, "echo not yet; exit 1", said=["was not up after 1 s", "not yet"]),
    Broken("no such program", "/no/such/program {port}", said=["exit code 127"]),
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.why)
async def test_a_service_that_does_not_come_up_is_said_with_its_log(
    sandbox: Sandbox, folder: Path, temporary: Path, broken: Broken
) -> None:
    named = {"start": broken.start, "ready": broken.ready, "start_timeout": timedelta(seconds=1)}
    with pytest.raises(ServiceFailed) as caught:
        await run(sandbox, [FILES.model_copy(update=named)], "touch ran", folder)
    assert [text for text in broken.said if text not in caught.value.message] == []
    assert contents(folder) == []
    assert contents(temporary) == []


async def test_a_missing_program_is_said(sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServiceFailed, match="apt-get install redis-server"):
        await run(sandbox, [CACHE], "true", folder)


async def test_the_command_cannot_say_that_a_service_failed(sandbox: Sandbox, folder: Path) -> None:
    """Mutation tried: the last line that looks like the supervisor's is believed."""
    forge = "import pathlib; line = pathlib.Path('/proc/%d/cmdline' % __import__('os').getppid()).read_text()"
    forge += "; mark = __import__('re').search('phasegate-services-[0-9a-f]+', line)[0]; print(mark, 'failed')"
    result = await run(sandbox, [FILES], [sys.executable, "-c", forge], folder)
    assert result.output.endswith(" failed\n")


async def test_a_service_does_not_run_what_lies_in_the_checkout(sandbox: Sandbox, folder: Path) -> None:
    """Mutation tried: services start in the checkout."""
    (folder / "http.py").write_text("raise SystemExit('the change was here')\n")
    (folder / "sitecustomize.py").write_text("import os\nos._exit(9)\n")
    result = await run_with_services(
        sandbox, [FILES], "echo $FILES_URL", folder=folder, timeout=LONG, environment={"PYTHONPATH": str(folder)}
    )
    assert result.output.startswith("http://127.0.0.1:")


async def test_later_services_know_the_earlier_ones_and_further_variables_are_filled(
    sandbox: Sandbox, folder: Path
) -> None:
    first = DATABASE.model_copy(
        update={"url": "postgresql+psycopg://{user}@{host}/{database}", "variables": {"P": "{port}"}}
    )
    second = FILES.model_copy(
        update={"start": f"echo $DATABASE_URL > name; {FILES.start}", "variables": {"F": "{folder}"}}
    )
    result = await run(
        sandbox, [first, second], 'cat "$F/name"; test "$P" -gt 0 && echo "$F" | grep -o "/files$"', folder
    )
    assert result.output == "postgresql+psycopg://phasegate@127.0.0.1/test\n/files\n"
