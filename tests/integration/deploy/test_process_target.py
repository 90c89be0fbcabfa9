"""The `process` target against real processes: what it hands on, what it reports, and what it leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from phasegate.infra.deploy.process.services import services, stop_service
from phasegate.infra.deploy.process.target import ProcessTarget
from phasegate.infra.deploy.service_folder import ServiceFolder
from phasegate.infra.errors import DeployFailed, PortTaken, SetupFailed
from phasegate.infra.policy.deploy import DeployPolicy
from phasegate.infra.system import ports
from phasegate.infra.system.processes import ProcessId, command_of, find_by_mark
from phasegate.infra.system.spawn import MARK

SERVICE = """
import http.server, json, os, signal, sys
if os.environ.get("STUBBORN"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(json.dumps({"pid": os.getpid(), "environ": dict(os.environ), "cwd": os.getcwd()}).encode())
    def log_message(self, *args): pass
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
START = "python3 service.py"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere", "LANG": "C.UTF-8", "SECRET": "s", "COLOUR": "red"}

Make = Callable[..., ProcessTarget]


def checkout(commit: str, folder: Path) -> None:
    folder.mkdir()
    (folder / "service.py").write_text(SERVICE)


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Make a target of the service `shop`; whatever it started is stopped in the end."""

    def make(start: str = START, *, prepare=None, **policy) -> ProcessTarget:
        more = {"prepare": prepare} if prepare else {}
        return ProcessTarget(
            DeployPolicy(start=start, **policy),
            service="shop",
            state_folder=tmp_path,
            checkout=checkout,
            environment=ENVIRONMENT,
            grace=timedelta(seconds=1),
            **more,
        )

    yield make
    await stop_service(tmp_path, "shop", grace=timedelta(0))


@pytest.fixture
def held_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def say(url: str) -> dict[str, Any]:
    said: dict[str, Any] = httpx.get(url, trust_env=False).json()
    return said


def children(mark: str) -> list[ProcessId]:
    """The processes of a mark but for their supervisors."""
    return [process for process in find_by_mark(mark) if "process.supervisor.supervisor" not in command_of(process.pid)]


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it did not come about within 10 s"
        await asyncio.sleep(0.02)


async def test_a_service_gets_the_allowed_environment_and_runs_in_its_checkout(make: Make, tmp_path: Path):
    said = say((await make(environment=("COLOUR",)).start_candidate("r1", "c1")).url)

    assert said["cwd"] == str(tmp_path / "services/shop/releases/r1/source")
    assert said["environ"]["PATH"] == f"/usr/bin:/bin:{Path(sys.executable).parent}"
    assert {"HOME", "LANG", "PORT", "COLOUR"} <= set(said["environ"])
    assert "SECRET" not in said["environ"]


async def test_a_service_is_its_own_session_and_no_shell_stands_before_it(make: Make):
    said = say((await make().start_candidate("r1", "c1")).url)
    assert os.getsid(said["pid"]) == said["pid"]


async def test_a_compound_start_command_works(make: Make):
    candidate = await make("cd . && COLOUR=blue python3 service.py; true").start_candidate("r1", "c1")
    assert say(candidate.url)["environ"]["COLOUR"] == "blue"


async def test_the_port_is_put_into_the_start_command(make: Make):
    candidate = await make("env MINE={port} python3 service.py").start_candidate("r1", "c1")
    assert say(candidate.url)["environ"]["MINE"] == str(candidate.port)


async def test_an_early_exit_is_noticed_at_once_with_the_end_of_the_log(make: Make, tmp_path: Path):
    target = make("echo one; echo boom >&2; exit 3", start_timeout=timedelta(seconds=60))
    began = time.monotonic()
    with pytest.raises(DeployFailed) as raised:
        await target.start_candidate("r1", "c1")

    assert time.monotonic() - began < 20
    assert "exited with code 3" in raised.value.message
    assert raised.value.message.endswith("Its log ends:\n  one\n  boom")
    assert str(tmp_path / "services/shop/releases/r1/log") in raised.value.remedy


async def test_a_service_that_never_answers_is_stopped_when_its_time_is_over(make: Make, tmp_path: Path):
    target = make("sleep 1000", start_timeout=timedelta(milliseconds=300))
    with pytest.raises(DeployFailed, match=r"gave no 2xx within 0\.3 s: no answer"):
        await target.start_candidate("r1", "c1")
    assert find_by_mark(ServiceFolder(tmp_path, "shop").mark()) == []


async def test_what_a_service_started_ends_with_it(make: Make, tmp_path: Path):
    target = make("sleep 1000 & setsid sleep 1000 & exec python3 service.py")
    await target.start_candidate("r1", "c1")
    mark = ServiceFolder(tmp_path, "shop").mark()
    assert len(children(mark)) == 3

    await target.stop_candidate("r1")

    assert find_by_mark(mark) == []


async def test_a_service_deaf_to_sigterm_is_killed_after_the_grace(make: Make, tmp_path: Path):
    target = make("env STUBBORN=1 python3 service.py")
    await target.start_candidate("r1", "c1")
    await target.stop_candidate("r1")
    assert find_by_mark(ServiceFolder(tmp_path, "shop").mark()) == []


async def test_a_service_that_hides_its_environment_is_stopped_all_the_same(make: Make):
    target = make("env -i PORT={port} python3 service.py")
    candidate = await target.start_candidate("r1", "c1")
    await target.stop_candidate("r1")
    assert ports.is_free(candidate.port)


async def test_a_stopped_candidate_leaves_its_log_and_no_checkout(make: Make, tmp_path: Path):
    target = make()
    await target.start_candidate("r1", "c1")
    await target.stop_candidate("r1")
    left = {entry.name for entry in (tmp_path / "services/shop/releases/r1").iterdir()}
    assert left == {"candidate.json", "log"}


async def test_a_fixed_port_is_used(make: Make):
    port = ports.stable_port()
    target = make(port=port)
    await target.start_candidate("r1", "c1")
    assert (await target.cut_over("r1")).url == f"http://127.0.0.1:{port}"


async def test_a_taken_port_is_named_with_its_holder_and_costs_no_outage(make: Make, held_port: int):
    await make().start_candidate("r1", "c1")
    await make().cut_over("r1")
    target = make(port=held_port)
    await target.start_candidate("r2", "c2")

    with pytest.raises(PortTaken) as raised:
        await target.cut_over("r2")

    assert f"Port {held_port} is in use by process {os.getpid()}" in raised.value.message
    current = (await target.status()).current
    assert current is not None
    assert (current.release_id, current.alive) == ("r1", True)


async def test_a_changed_port_goes_back_with_the_release(make: Make):
    await make().start_candidate("r1", "c1")
    first = await make().cut_over("r1")
    moved = make(port=ports.stable_port())
    await moved.start_candidate("r2", "c2")
    assert (await moved.cut_over("r2")).url != first.url

    state = await moved.restore("r1")

    assert state.current is not None
    assert state.current.url == first.url
    assert say(first.url)


async def test_a_release_is_started_again_as_it_was_made(make: Make):
    await make("env COLOUR=blue python3 service.py").start_candidate("r1", "c1")
    await make().cut_over("r1")
    later = make("env COLOUR=green python3 service.py")
    await later.start_candidate("r2", "c2")
    made = await later.cut_over("r2")
    assert say(made.url)["environ"]["COLOUR"] == "green"

    await later.restore("r1")

    assert say(made.url)["environ"]["COLOUR"] == "blue"


async def test_a_release_whose_process_died_for_good_is_reported_and_comes_back_when_restored(
    make: Make, tmp_path: Path
):
    target = make(restarts=0)
    await target.start_candidate("r1", "c1")
    made = await target.cut_over("r1")
    os.kill(say(made.url)["pid"], 9)
    await until(lambda: not find_by_mark(ServiceFolder(tmp_path, "shop").mark("service")))

    current = (await target.status()).current
    assert current is not None
    assert (current.release_id, current.alive, current.detail) == ("r1", False, "the process was ended by signal 9")
    again = await target.cut_over("r1")
    assert again.model_copy(update={"checks": made.checks}) == made  # how long it took to come up is in them
    assert say(made.url)


async def test_a_setup_that_fails_costs_no_outage_and_is_done_again(make: Make):
    await make().start_candidate("r1", "c1")
    await make().cut_over("r1")
    seen: list[Path] = []

    async def prepare(source: Path) -> None:
        seen.append(source)
        (source / "built").touch(exist_ok=False)
        if len(seen) == 1:
            raise SetupFailed

    target = make(prepare=prepare)
    with pytest.raises(SetupFailed):
        await target.start_candidate("r2", "c2")
    current = (await target.status()).current
    assert current is not None
    assert current.alive
    await target.start_candidate("r2", "c2")
    await target.cut_over("r2")
    assert len(seen) == 2


async def test_two_that_change_one_service_take_turns(make: Make):
    candidates = await asyncio.gather(*(make().start_candidate("r1", "c1") for _ in range(3)))
    assert len({candidate.port for candidate in candidates}) == 1


async def test_services_are_listed_and_stopped_without_a_policy(make: Make, tmp_path: Path):
    target = make()
    await target.start_candidate("r1", "c1")
    made = await target.cut_over("r1")
    listed = services(tmp_path)
    assert [(one.service, one.current and one.current.url) for one in listed] == [("shop", made.url)]

    await stop_service(tmp_path, "shop")

    assert [one.current and one.current.alive for one in services(tmp_path)] == [False]
    assert ports.is_free(made.port)


def test_no_service_is_listed_where_none_was(tmp_path: Path):
    assert services(tmp_path) == []


async def test_a_state_of_another_version_is_refused(make: Make, tmp_path: Path):
    folder = tmp_path / "services/shop"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text('{"version": 2, "service": "shop"}')
    with pytest.raises(DeployFailed, match="cannot be read"):
        await make().status()
    (folder / "state.json").unlink()


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path):
    with pytest.raises(ValueError, match="not usable"):
        ServiceFolder(tmp_path, name)


ENGINE = """
import asyncio, json, os, sys
from datetime import timedelta
from pathlib import Path
from phasegate.infra.deploy.process.target import ProcessTarget
from phasegate.infra.policy.deploy import DeployPolicy

state, step, start = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
def checkout(commit, folder):
    folder.mkdir()
    (folder / "service.py").write_text(os.environ["SERVICE"])
    if step == "checkout":
        print("now", flush=True)
        import time; time.sleep(60)
target = ProcessTarget(DeployPolicy(start=start), service="shop", state_folder=state, checkout=checkout,
                       environment=dict(os.environ))
async def main():
    await target.start_candidate("r2", "c2")
    if step == "cut-over":
        await target.cut_over("r2")
    print("now", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def kill_engine_at(state: Path, step: str, start: str, *, when: Callable[[], bool] | None = None) -> None:
    """Run an engine that starts release r2, and `kill -9` it at a step, or once something holds."""
    environment = {**os.environ, "SERVICE": SERVICE}
    with subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(state), step, start], stdout=subprocess.PIPE, env=environment
    ) as engine:
        if when is None:
            assert engine.stdout is not None
            assert engine.stdout.readline() == b"now\n"
        else:
            deadline = time.monotonic() + 20
            while not when():
                assert time.monotonic() < deadline
                time.sleep(0.005)
        engine.kill()


async def test_a_service_outlives_the_engine(make: Make, tmp_path: Path):
    kill_engine_at(tmp_path, "cut-over", START)
    current = (await make().status()).current
    assert current is not None
    assert current.alive
    assert await make().cut_over("r2") == await make().cut_over("r2")
    assert say(current.url)


async def test_killed_during_checkout_it_checks_out_anew(make: Make, tmp_path: Path):
    kill_engine_at(tmp_path, "checkout", START)
    candidate = await make().start_candidate("r2", "c2")
    assert say(candidate.url)


async def test_killed_while_a_candidate_starts_only_one_runs_in_the_end(make: Make, tmp_path: Path):
    mark = ServiceFolder(tmp_path, "shop").mark("candidate", "r2")
    kill_engine_at(tmp_path, "candidate", "sleep 0.5; exec python3 service.py", when=lambda: bool(find_by_mark(mark)))

    candidate = await make().start_candidate("r2", "c2")

    assert [process.pid for process in children(mark)] == [say(candidate.url)["pid"]]


async def test_killed_with_an_unrecorded_process_it_finds_and_replaces_it(make: Make, tmp_path: Path):
    kill_engine_at(tmp_path, "candidate", START)
    state = tmp_path / "services/shop/state.json"
    written = json.loads(state.read_text())
    written["candidates"] = {}  # as if the kill had come between the start and the note of it
    state.write_text(json.dumps(written))
    mark = ServiceFolder(tmp_path, "shop").mark("candidate", "r2")
    [stray] = children(mark)

    candidate = await make().start_candidate("r2", "c2")

    [found] = children(mark)
    assert found != stray
    assert say(candidate.url)["pid"] == found.pid


async def test_killed_in_the_middle_of_a_cut_over_it_is_finished_by_repeating(make: Make, tmp_path: Path):
    await make().start_candidate("r1", "c1")
    before = await make().cut_over("r1")
    mark = ServiceFolder(tmp_path, "shop").mark("service", "r2")
    kill_engine_at(tmp_path, "cut-over", "sleep 0.5; exec python3 service.py", when=lambda: bool(find_by_mark(mark)))
    killed = (await make().status()).current
    assert killed is not None
    assert (killed.release_id, killed.alive) == ("r1", False)

    made = await make().cut_over("r2")

    assert (made.previous, made.url) == ("r1", before.url)
    assert [process.pid for process in children(ServiceFolder(tmp_path, "shop").mark())] == [say(made.url)["pid"]]


async def test_killed_in_the_middle_of_a_cut_over_the_previous_can_be_restored(make: Make, tmp_path: Path):
    await make().start_candidate("r1", "c1")
    await make().cut_over("r1")
    mark = ServiceFolder(tmp_path, "shop").mark("service", "r2")
    kill_engine_at(tmp_path, "cut-over", "sleep 0.5; exec python3 service.py", when=lambda: bool(find_by_mark(mark)))

    state = await make().restore("r1")

    assert state.current is not None
    assert (state.current.release_id, state.current.alive) == ("r1", True)
    assert say(state.current.url)["environ"][MARK].endswith("|service|r1|")
