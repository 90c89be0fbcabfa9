"""Releases behind HAProxy: shares of real traffic, no dropped request, and a `kill -9` between any two steps."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.deploy.shop import ask, children, load_on, pid_of, release, shop, until

from phasegate.infra.deploy.process import releases
from phasegate.infra.deploy.process.proxy import proxy, serving
from phasegate.infra.deploy.process.proxy.haproxy import HaProxy
from phasegate.infra.deploy.process.services import require_port, stop_service
from phasegate.infra.deploy.service_folder import ServiceFolder
from phasegate.infra.errors import DeployFailed, PortTaken, TargetRefused
from phasegate.infra.system import ports
from phasegate.infra.system.processes import find_by_mark


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Path]:
    yield tmp_path
    await stop_service(tmp_path, "shop")
    assert find_by_mark(ServiceFolder(tmp_path, "shop").mark()) == []


async def test_no_request_is_lost_through_shares_a_cut_over_and_a_rollback(home: Path):
    target = shop(home)
    url = await release(target, "r1", "one")
    async with load_on(url) as load:
        await target.start_candidate("r2", "two")
        assert set(await load.more(50)) == {"one"}
        await target.set_weight("r2", 50)
        await load.more(20)
        assert set(await load.more(50)) == {"one", "two"}
        await target.cut_over("r2")
        await load.more(8)
        assert set(await load.more(50)) == {"two"}
        await target.restore("r1")
        await load.more(8)
        assert set(await load.more(50)) == {"one"}
        await target.start_candidate("r3", "three")
        await target.set_weight("r3", 50)
        await target.stop_candidate("r3")
        await load.more(8)
        assert set(await load.more(50)) == {"one"}
    assert load.failed == []


async def test_the_requests_are_shared_as_the_weights_say(home: Path):
    target = shop(home)
    url = await release(target, "r1", "one")
    await target.start_candidate("r2", "two")

    weight = await target.set_weight("r2", 25)

    async with httpx.AsyncClient(trust_env=False) as client:
        said = Counter([(await client.get(url)).text.split()[0] for _ in range(200)])
    assert weight.actual == 25
    assert said["two"] == pytest.approx(50, abs=4)
    assert said["one"] + said["two"] == 200


async def test_what_serves_is_compared_where_it_alone_answers(home: Path):
    target = shop(home)
    url = await release(target, "r1", "one")
    await target.start_candidate("r2", "two")
    await target.set_weight("r2", 50)

    current = (await target.status()).current

    assert current is not None
    assert current.url == url.rstrip("/")
    assert {(await ask(current.own_url)).split()[0] for _ in range(6)} == {"one"}


async def test_what_had_begun_is_finished_by_the_release_that_leaves(home: Path):
    target = shop(home)
    url = await release(target, "r1", "one")
    await target.start_candidate("r2", "two")
    slow = asyncio.create_task(ask(url, "/slow"))
    found = HaProxy(home / "services/shop/front", ports.HOST)
    await until(lambda: found.servers()["r1"].sessions == 1)

    await target.cut_over("r2")

    assert (await slow).startswith("one ")
    assert (await ask(url)).startswith("two ")


async def test_what_takes_too_long_is_waited_for_no_longer_than_policy_says(home: Path):
    target = shop(home, drain_timeout="100ms")
    url = await release(target, "r1", "one")
    await target.start_candidate("r2", "two")
    stuck = asyncio.create_task(ask(url, "/eat"))
    found = HaProxy(home / "services/shop/front", ports.HOST)
    await until(lambda: found.servers()["r1"].sessions == 1)
    began = time.monotonic()

    await target.cut_over("r2")

    assert time.monotonic() - began < 15
    with pytest.raises(httpx.HTTPError):
        await stuck


async def test_a_front_that_dies_comes_back_with_the_shares_it_had(home: Path):
    target = shop(home)
    await release(target, "r1", "one")
    await target.start_candidate("r2", "two")
    await target.set_weight("r2", 25)
    mark = ServiceFolder(home, "shop").mark("front")
    [before] = children(mark)
    os.kill(before.pid, 9)

    await until(lambda: children(mark) not in ([], [before]))

    async def share() -> float:
        return next(one.weight for one in (await target.status()).candidates)

    deadline = time.monotonic() + 10
    while await share() != 25:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_candidate_that_keeps_dying_gets_no_share_and_is_named(home: Path):
    target = shop(home, restarts=1)
    url = await release(target, "r1", "one")
    candidate = await target.start_candidate("r2", "two")
    (home / "services/shop/releases/r2/source/broken").touch()
    with pytest.raises(httpx.HTTPError):
        await ask(candidate.url, "/die")
    await until(lambda: not find_by_mark(ServiceFolder(home, "shop").mark("release", "r2")))

    with pytest.raises(DeployFailed, match=r"cannot take 25 %.*it exited with code 7, 2 times in a row, and is not"):
        await target.set_weight("r2", 25)
    [found] = (await target.status()).candidates
    assert (found.alive, found.detail) == (
        False,
        "the process exited with code 7, 2 times in a row, and is not started again",
    )
    with pytest.raises(DeployFailed, match="did not come up as release: the process exited with code 7"):
        await target.cut_over("r2")
    assert (await ask(url)).startswith("one ")


async def test_two_candidates_cannot_have_more_than_all(home: Path):
    target = shop(home)
    await release(target, "r1", "one")
    await target.start_candidate("r2", "two")
    await target.start_candidate("r3", "three")
    await target.set_weight("r2", 60)
    with pytest.raises(DeployFailed, match=r"cannot take 50 %.*other candidates have 60 %"):
        await target.set_weight("r3", 50)


async def test_without_haproxy_nothing_is_started_and_the_remedy_is_told(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("phasegate.infra.deploy.process.proxy.haproxy.PROGRAM", "no-such-proxy")
    with pytest.raises(TargetRefused) as raised:
        await shop(home).start_candidate("r1", "one")
    assert "apt-get install haproxy" in raised.value.remedy
    assert not (home / "services/shop/releases").exists()
    await shop(home, strategy="rolling").start_candidate("r1", "one")


async def test_a_taken_port_is_told_and_what_serves_goes_on(home: Path):
    url = await release(shop(home), "r1", "one")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        target = shop(home, port=holder.getsockname()[1])
        await target.start_candidate("r2", "two")
        with pytest.raises(PortTaken):
            await target.cut_over("r2")
    assert (await ask(url)).startswith("one ")
    require_port(home, "shop", int(url.rpartition(":")[2]))


def lines_of(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


async def test_the_front_listens_on_loopback_only(home: Path):
    url = await release(shop(home), "r1", "one")
    port = int(url.rpartition(":")[2])
    listening = [line.split()[1] for line in lines_of("/proc/net/tcp") if " 0A " in line]
    assert [address for address in listening if address.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


async def test_the_strategy_may_change_both_ways(home: Path):
    before = await release(shop(home, strategy="rolling"), "r1", "one")
    canary = shop(home)
    await canary.start_candidate("r2", "two")
    assert (await canary.set_weight("r2", 50)).actual == 50
    assert {(await ask(before)).split()[0] for _ in range(4)} == {"one", "two"}
    assert (await canary.cut_over("r2")).url == before
    assert await release(shop(home, strategy="rolling"), "r3", "three") == before
    assert (await ask(before)).startswith("three ")
    assert find_by_mark(ServiceFolder(home, "shop").mark("front")) == []
    state = await shop(home).restore("r2")
    assert state.current is not None
    assert (await ask(state.current.url)).startswith("two ")


async def test_a_cut_over_starts_nothing_anew(home: Path):
    target = shop(home)
    await release(target, "r1", "one")
    candidate = await target.start_candidate("r2", "two")
    before = await pid_of(candidate.url)
    assert await pid_of((await target.cut_over("r2")).url) == before


class Killed(BaseException):
    """Stands for `kill -9`: no code catches it."""


class Fuse:
    """Ends the caller that passes it for the n-th time, before or after the step there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        for place, name in (
            (ServiceFolder, "write"),
            (HaProxy, "configure"),
            (HaProxy, "put"),
            (HaProxy, "drain"),
            (HaProxy, "drop"),
            (proxy, "stop_all"),
            (releases, "stop_all"),
            (releases, "start_supervised"),
            (proxy, "start_supervised"),
            (serving, "wait_until_healthy"),
        ):
            monkeypatch.setattr(place, name, self._burning(getattr(place, name)))

    def _burning(self, step: Any) -> Any:
        def run(*args: Any, **named: Any) -> Any:
            self._burn()
            made = step(*args, **named)
            if not asyncio.iscoroutine(made):
                self._burn()
            return made

        return run

    def _burn(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1


@pytest.mark.parametrize("ends", ["cut over", "taken back"])
async def test_killed_between_any_two_steps_of_a_cut_over_it_ends_well(
    home: Path, monkeypatch: pytest.MonkeyPatch, ends: str
):
    fuse = Fuse(monkeypatch)
    url = await release(shop(home), "r0", "r0")
    current = "r0"
    for step in range(1 if ends == "cut over" else 2, 28, 2):  # each takes half of them: a second apiece
        candidate = f"r{step}"
        await shop(home).start_candidate(candidate, candidate)
        fuse.left = step
        try:
            await shop(home).cut_over(candidate)
        except Killed:
            fuse.left = -1
        else:  # it had no more steps
            assert step > 12
            return

        assert (await ask(url)).split()[0] in {current, candidate}
        if ends == "cut over":
            await shop(home).cut_over(candidate)
            current = candidate
        else:
            await shop(home).restore(current)
            await shop(home).stop_candidate(candidate)
        state = await shop(home).status()
        assert state.current is not None
        assert (state.current.release_id, state.current.alive, state.candidates) == (current, True, ())
        assert {(await ask(url)).split()[0] for _ in range(3)} == {current}
        assert len(children(ServiceFolder(home, "shop").mark("release"))) == 1
        assert len(children(ServiceFolder(home, "shop").mark("front"))) == 1
