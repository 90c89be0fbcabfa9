"""Work of a supervisor for its service: it starts it again, bounds its log and its use; it may be killed itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.integration.deploy.shop import ask, children, pid_of, release, shop, until

from phasegate.infra.deploy.process.reconcile import reconcile_services
from phasegate.infra.deploy.process.services import stop_service
from phasegate.infra.deploy.process.target import ProcessTarget
from phasegate.infra.deploy.service_folder import ServiceFolder
from phasegate.infra.system.processes import command_of, find_by_mark

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Path]:
    yield tmp_path
    await stop_service(tmp_path, "shop")
    assert find_by_mark(ServiceFolder(tmp_path, "shop").mark()) == []


def supervisors(home: Path) -> list[int]:
    found = find_by_mark(ServiceFolder(home, "shop").mark())
    return [process.pid for process in found if "process.supervisor.supervisor" in command_of(process.pid)]


async def detail_of(target: ProcessTarget) -> tuple[bool, str]:
    current = (await target.status()).current
    assert current is not None
    return current.alive, current.detail


async def until_it_says(target: ProcessTarget, text: str) -> str:
    said = ""
    for _ in range(600):
        if text in (said := (await detail_of(target))[1]):
            return said
        await asyncio.sleep(0.05)
    raise AssertionError(said)


async def answers_from(url: str, other_than: int) -> int:
    async with asyncio.timeout(20):
        while True:
            try:
                if (pid := await pid_of(url)) != other_than:
                    return pid
            except httpx.HTTPError:
                await asyncio.sleep(0.05)


async def test_a_service_that_dies_is_started_again_on_its_port(home: Path):
    target = shop(home, strategy="rolling")
    url = await release(target, "r1", "one")
    before = await pid_of(url)
    os.kill(before, 9)

    assert await answers_from(url, before) != before
    assert await detail_of(target) == (True, "runs; it was started again once, since it was ended by signal 9")
    said = (home / "services/shop/releases/r1/log").read_text()
    assert said == "phasegate: the process was ended by signal 9; it is started again in 0.5 s (1 of 5)\n"


async def test_a_service_that_keeps_dying_is_given_up_and_the_reason_told(home: Path):
    target = shop(home, strategy="rolling", restarts=1)
    url = await release(target, "r1", "one")
    (home / "services/shop/releases/r1/source/broken").touch()
    with pytest.raises(httpx.HTTPError):
        await ask(url, "/die")

    await until_it_says(target, "the process exited with code 7, 2 times in a row, and is not started again")
    assert (await detail_of(target))[0] is False
    candidate, service, again = "..."
    assert (home / "services/shop/releases/r1/source/starts").read_text() == candidate + service + again
    await until(lambda: supervisors(home) == [])


async def test_a_stopped_service_stays_stopped(home: Path):
    target = shop(home, strategy="rolling")
    await release(target, "r1", "one")
    await target.stop()
    assert await reconcile_services(home, ENVIRONMENT) == []
    assert find_by_mark(ServiceFolder(home, "shop").mark()) == []


@pytest.mark.parametrize("strategy", ["rolling", "canary"])
async def test_a_keeper_that_is_killed_costs_nothing_and_is_replaced(home: Path, strategy: str):
    target = shop(home, strategy=strategy)
    url = await release(target, "r1", "one")
    before = await pid_of(url)
    for pid in supervisors(home):
        os.kill(pid, 9)
    await until(lambda: supervisors(home) == [])
    assert await pid_of(url) == before

    found = await reconcile_services(home, ENVIRONMENT)

    assert found == (["shop r1"] if strategy == "rolling" else ["shop front", "shop r1"])
    await until(lambda: len(supervisors(home)) == len(found))
    assert await pid_of(url) == before
    assert await reconcile_services(home, ENVIRONMENT) == []
    await until(lambda: all("process.supervisor.supervisor" in command_of(pid) for pid in supervisors(home)))
    os.kill(before, 9)
    assert await answers_from(url, before)


async def test_what_was_killed_with_its_keeper_comes_back(home: Path):
    target = shop(home)
    url = await release(target, "r1", "one")
    for process in find_by_mark(ServiceFolder(home, "shop").mark()):
        os.kill(process.pid, 9)
    await until(lambda: not find_by_mark(ServiceFolder(home, "shop").mark()))
    assert (await detail_of(target))[0] is False

    await reconcile_services(home, ENVIRONMENT)

    assert await answers_from(url, 0)


async def test_a_chatty_service_cannot_fill_the_disk(home: Path):
    target = shop(home, strategy="rolling", log_size="1MiB")
    url = await release(target, "r1", "one")
    logs = [home / "services/shop/releases/r1" / name for name in ("log", "log.1")]
    for _ in range(4):
        await ask(url, "/chat")
        await until(lambda: logs[0].stat().st_size <= 2**20)
    assert sum(log.stat().st_size for log in logs if log.exists()) < 4 * 2**20
    said = ServiceFolder(home, "shop").log_text("r1", characters=1_100_000)
    assert "chatchat" in said


async def test_a_service_that_takes_too_much_memory_is_named_so_and_started_again(home: Path):
    target = shop(home, strategy="rolling", limits={"memory": "96MiB"})
    url = await release(target, "r1", "one")
    with pytest.raises(httpx.HTTPError):
        await ask(url, "/eat")

    assert "96 MiB" in await until_it_says(target, "memory")
    assert await answers_from(url, 0)


async def test_where_no_cgroup_can_be_made_the_memory_is_counted(home: Path, monkeypatch: pytest.MonkeyPatch):
    from phasegate.infra.deploy.process.supervisor.supervisor import Supervisor, SupervisorReport, SupervisorSpec

    monkeypatch.setattr("phasegate.infra.deploy.process.supervisor.supervisor.new_groups", lambda *_args, **_named: [])
    monkeypatch.setattr("signal.pthread_sigmask", lambda *_args: set())
    report = home / "report.json"
    spec = SupervisorSpec(
        "python3 -c 'import time; a = b\"x\" * 200000000; time.sleep(60)'",
        str(home),
        str(home / "log"),
        str(report),
        2**20,
        0,
        memory=96 * 2**20,
    )
    await asyncio.to_thread(Supervisor(spec).run)
    found = SupervisorReport.read(report)
    assert found is not None
    assert (found.gave_up, found.ending) == (True, "was ended: it used more than 96 MiB of memory")


async def test_open_files_are_bounded(home: Path):
    target = shop(home, strategy="rolling", limits={"open_files": 77})
    assert (await ask(await release(target, "r1", "one"))).split()[2] == "77"


async def test_only_the_newest_releases_keep_their_files(home: Path):
    target = shop(home, strategy="rolling", keep_releases=1)
    target._needed = lambda: {"r1"}
    for number in range(1, 5):
        await release(target, f"r{number}", f"c{number}")
    kept = sorted(folder.name for folder in (home / "services/shop/releases").iterdir())
    assert kept == ["r1", "r3", "r4"]
    state = await target.restore("r2")
    assert state.current is not None
    assert (await ask(state.current.url)).startswith("c2 ")


def resident_kib(pid: int) -> int:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0])


async def test_one_keeper_stays_small(home: Path):
    target = shop(home, strategy="rolling")
    await release(target, "r1", "one")
    [supervisor] = supervisors(home)
    assert resident_kib(supervisor) < 25_000
    assert len(children(ServiceFolder(home, "shop").mark())) == 1
