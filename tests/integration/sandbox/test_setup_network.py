"""P10: a command with the network reaches public hosts through the proxy, and nothing of this machine."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from tests.support.upstream import PUBLIC, RecordingDialer, Upstream

from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox import CommandResult
from phasegate.infra.sandbox.bubblewrap import Bubblewrap
from phasegate.infra.sandbox.http_exchange import Streams
from phasegate.infra.sandbox.proxy import SystemDialer

OWN = "own.example.org"
DIRECT = """\
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
    print("connected")
except OSError as error:
    print("refused", error)
"""


def own_hosts() -> list[str]:
    """Loopback, and an address of each kind that an interface of this machine has."""
    found = {"127.0.0.1": None, "::1": None}
    for entries in psutil.net_if_addrs().values():
        for entry in entries:
            if entry.family in {socket.AF_INET, socket.AF_INET6} and "%" not in entry.address:
                found[entry.address] = None
    return list(found)


@dataclass(frozen=True)
class Listener:
    """Server on one of this machine's own addresses; its backlog answers."""

    host: str
    port: int


@pytest.fixture(params=own_hosts())
def listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    with ExitStack() as stack:
        family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
        server = stack.enter_context(socket.create_server((request.param, 0), family=family))
        yield Listener(request.param, server.getsockname()[1])


@dataclass(frozen=True)
class OwnDialer(RecordingDialer):
    """As its base, but connections to this machine's own addresses are real."""

    async def dial(self, address: str, port: int) -> Streams:
        if address in own_hosts():
            return await SystemDialer().dial(address, port)
        return await super().dial(address, port)


@pytest.fixture
async def upstream() -> AsyncGenerator[Upstream]:
    async with Upstream().listening() as server:
        yield server


async def run(sandbox: Bubblewrap, tmp_path: Path, command: list[str] | str, *, network: bool = True) -> CommandResult:
    (tmp_path / "work").mkdir(exist_ok=True)
    return await sandbox.run(command, folder=tmp_path / "work", timeout=timedelta(seconds=60), network=network)


def opened(tmp_path: Path, dialer: RecordingDialer, **policy: object) -> Bubblewrap:
    return replace(Bubblewrap.open(SandboxPolicy.model_validate(policy), tmp_path / "state"), dialer=dialer)


@pytest.mark.parametrize("network", [False, True])
async def test_no_address_of_this_machine_is_in_reach(
    network: bool, listener: Listener, upstream: Upstream, tmp_path: Path
) -> None:
    """Mutations tried: `--share-net` with the network; the proxy connects to every address.

    Directly, by name, and in a tunnel; policy names the host with its port, and still it is not in reach.
    """
    dialer = OwnDialer(upstream.port, {OWN: [listener.host]})
    sandbox = opened(tmp_path, dialer, network=(f"{OWN}:{listener.port}",))
    direct = await run(sandbox, tmp_path, ["python3", "-c", DIRECT, listener.host, str(listener.port)], network=network)
    assert direct.output.startswith("refused")
    literal = f"[{listener.host}]" if ":" in listener.host else listener.host
    for host, reason in ((OWN, "is no public address"), (literal, "is not a host's name")):
        for options in ("", "-p"):
            command = f"curl -sS -m 20 {options} --noproxy '' 'http://{host}:{listener.port}/'"
            result = await run(sandbox, tmp_path, command, network=network)
            assert [reason in refused for refused in result.refused] == [True], result
    by_name = await run(sandbox, tmp_path, f"curl -sS -m 5 'http://localhost:{listener.port}/'", network=network)
    assert by_name.exit_code == 7


@pytest.mark.parametrize("option", ["", "-p"])
@pytest.mark.parametrize("port", [80, 8081])
async def test_with_the_network_any_public_host_is_reached(
    option: str, port: int, upstream: Upstream, tmp_path: Path
) -> None:
    """Mutation tried: only hosts of policy."""
    dialer = RecordingDialer(upstream.port)
    result = await run(opened(tmp_path, dialer), tmp_path, f"curl -sS {option} http://packages.example.org:{port}/x")
    assert (result.exit_code, result.output, result.refused) == (0, "hello", ())
    assert dialer.dialed == [(PUBLIC, port)]
    without = await run(opened(tmp_path, dialer), tmp_path, "curl -sS http://packages.example.org/x", network=False)
    assert without.exit_code != 0


async def test_abstract_sockets_of_this_machine_are_out_of_reach(upstream: Upstream, tmp_path: Path) -> None:
    """Mutation tried: `--share-net` with the network."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0phasegate-test-setup-network")
        server.listen()
        command = 'import socket; socket.socket(socket.AF_UNIX).connect("\\0phasegate-test-setup-network")'
        result = await run(opened(tmp_path, RecordingDialer(upstream.port)), tmp_path, ["python3", "-c", command])
    assert "Connection refused" in result.output


async def test_many_downloads_at_once_arrive_whole(upstream: Upstream, tmp_path: Path) -> None:
    """Mutation tried: the bridge cuts a connection once it has read the answer."""
    size = 400_000
    upstream.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
    urls = " ".join(f"-o f{number} http://packages.example.org/{number}" for number in range(40))
    command = f"curl -sS --parallel --parallel-immediate --parallel-max 40 {urls}"
    result = await run(opened(tmp_path, RecordingDialer(upstream.port)), tmp_path, command)
    assert result.exit_code == 0, result.output
    assert {(tmp_path / "work" / f"f{number}").stat().st_size for number in range(40)} == {size}


HALF = """\
import os, socket
client = socket.create_connection(("127.0.0.1", int(os.environ["HTTP_PROXY"].rpartition(":")[2])))
client.sendall(b"GET http://packages.example.org/ HTTP/1.0\\r\\n\\r\\n")
client.shutdown(socket.SHUT_WR)
print(client.makefile("rb").read()[-5:])
"""


async def test_a_client_that_has_ended_its_side_gets_its_answer(upstream: Upstream, tmp_path: Path) -> None:
    """Mutation tried: the end of a client's bytes cuts the connection."""
    upstream.reads.clear()
    asyncio.get_running_loop().call_later(1, upstream.reads.set)
    sandbox = opened(tmp_path, RecordingDialer(upstream.port))
    assert (await run(sandbox, tmp_path, ["python3", "-c", HALF])).output == "b'hello'\n"


async def test_connections_cost_a_command_no_threads(upstream: Upstream, tmp_path: Path) -> None:
    """Mutation tried: two threads of the bridge for each connection."""
    sandbox = opened(tmp_path, RecordingDialer(upstream.port))
    result = await run(sandbox, tmp_path, ["python3", "-c", THREADS])
    assert int(result.output) < 10


THREADS = """\
import os, pathlib, socket
port = int(os.environ["HTTP_PROXY"].rpartition(":")[2])
clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
for client in clients:
    client.sendall(b"CONNECT packages.example.org:443 HTTP/1.0\\r\\n\\r\\n")
    assert b" 200 " in client.recv(1000)
print(pathlib.Path(f"/proc/{os.getppid()}/status").read_text().partition("Threads:")[2].split()[0])
"""
HOLD = """\
import os, pathlib, socket, sys, time
held = socket.create_connection(("127.0.0.1", int(os.environ["HTTP_PROXY"].rpartition(":")[2])))
held.sendall(b"CONNECT packages.example.org:443 HTTP/1.0\\r\\n\\r\\n")
held.recv(1000)
pathlib.Path("held").touch()
time.sleep(60)
"""


async def test_a_connection_that_is_open_at_the_end_leaves_no_output(upstream: Upstream, tmp_path: Path) -> None:
    """Mutation tried: the bridge's tasks are not ended."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "hold.py").write_text(HOLD)
    command = "python3 hold.py & while ! test -e held; do sleep 0.05; done"
    result = await run(opened(tmp_path, RecordingDialer(upstream.port)), tmp_path, command)
    assert (result.exit_code, result.output) == (0, "")


async def test_common_tools_are_told_of_the_proxy(upstream: Upstream, tmp_path: Path) -> None:
    """Mutation tried: each variable left out."""
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    sandbox = opened(tmp_path, RecordingDialer(upstream.port))
    (tmp_path / "work").mkdir()
    result = await sandbox.run(
        ["python3", "-c", program],
        folder=tmp_path / "work",
        timeout=timedelta(seconds=60),
        network=True,
        environment={"JAVA_TOOL_OPTIONS": "-Xmx64m", "HTTPS_PROXY": "http://10.0.0.1:3128"},
    )
    seen = json.loads(result.output)
    url = seen["HTTPS_PROXY"]
    port = url.removeprefix("http://127.0.0.1:")
    names = ["HTTP_PROXY", "ALL_PROXY", "CARGO_HTTP_PROXY", "YARN_HTTP_PROXY", "YARN_HTTPS_PROXY"]
    names += ["http_proxy", "https_proxy", "all_proxy", "npm_config_proxy", "npm_config_https_proxy"]
    assert port.isdigit()
    assert {seen.get(name) for name in names} == {url}
    assert {seen.get(name) for name in ("NO_PROXY", "no_proxy", "npm_config_noproxy")} == {"127.0.0.1,localhost,::1"}
    assert seen["NODE_USE_ENV_PROXY"] == "1"
    assert seen["JAVA_TOOL_OPTIONS"].split() == [
        "-Xmx64m",
        "-Dhttp.proxyHost=127.0.0.1",
        f"-Dhttp.proxyPort={port}",
        "-Dhttps.proxyHost=127.0.0.1",
        f"-Dhttps.proxyPort={port}",
        "-Daether.connector.http.useSystemProperties=true",
    ]
