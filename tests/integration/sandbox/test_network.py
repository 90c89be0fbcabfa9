"""P10: commands reach the hosts that policy names, through a proxy, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox import CommandResult
from phasegate.infra.sandbox.bubblewrap import Bubblewrap
from phasegate.infra.sandbox.http_exchange import Streams

ADDRESSES = {
    "allowed.example.org": "93.184.216.34",
    "sub.wild.example.org": "93.184.216.34",
    "rebound.example.org": "127.0.0.1",
    "metadata.example.org": "169.254.169.254",
    "private.example.org": "10.0.0.1",
    "mapped.example.org": "::ffff:127.0.0.1",
    "embedded.example.org": "64:ff9b::7f00:1",
    "other.example.org": "93.184.216.34",
}
HOSTS = ("allowed.example.org", "*.wild.example.org", *(name for name in ADDRESSES if name.split(".")[0] != "other"))


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"hello from {self.headers['Host']}{self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        pass


@dataclass(frozen=True)
class Made:
    """Names lead where the table says, and every address is this machine's server."""

    port: int

    async def resolve(self, host: str, port: int) -> list[str]:
        return [ADDRESSES[host]]

    async def dial(self, address: str, port: int) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self.port)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Bubblewrap]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        opened = Bubblewrap.open(SandboxPolicy(network=HOSTS), tmp_path / "state")
        yield replace(opened, dialer=Made(server.server_address[1]))
        server.shutdown()


async def run(sandbox: Bubblewrap, tmp_path: Path, command: str) -> CommandResult:
    (tmp_path / "work").mkdir(exist_ok=True)
    return await sandbox.run(command, folder=tmp_path / "work", timeout=timedelta(seconds=30))


@pytest.mark.parametrize(
    "command",
    [
        "curl -sS http://allowed.example.org/x",
        "curl -sS -p http://allowed.example.org/x",
        "curl -sS http://sub.wild.example.org/x",
        "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://allowed.example.org/x\").read())'",
    ],
)
async def test_a_host_that_policy_names_is_reached(sandbox: Bubblewrap, tmp_path: Path, command: str) -> None:
    result = await run(sandbox, tmp_path, command)
    assert "hello from" in result.output
    assert (result.exit_code, result.refused) == (0, ())


@dataclass(frozen=True)
class Shut:
    """A request that goes nowhere."""

    url: str
    why: str


@pytest.mark.parametrize("tunnel", ["", "-p"])
@pytest.mark.parametrize(
    "case",
    [
        Shut("http://other.example.org/", "not among the hosts"),
        Shut("http://allowed.example.org:8080/", "not among the hosts"),
        Shut("http://wild.example.org/", "not among the hosts"),
        Shut("http://93.184.216.34/", "not a host's name"),
        Shut("http://169.254.169.254/latest/meta-data/", "not a host's name"),
        Shut("http://0x0a000001/", "not a host's name"),
        Shut("http://[2001:db8::1]/", "not a host's name"),
        Shut("http://rebound.example.org/", "leads to 127.0.0.1"),
        Shut("http://metadata.example.org/", "leads to 169.254.169.254"),
        Shut("http://private.example.org/", "leads to 10.0.0.1"),
        Shut("http://mapped.example.org/", "leads to ::ffff:127.0.0.1"),
        Shut("http://embedded.example.org/", "leads to 64:ff9b::7f00:1"),
    ],
    ids=lambda case: getattr(case, "url", case),
)
async def test_everything_else_is_refused_and_told(
    sandbox: Bubblewrap, tmp_path: Path, case: Shut, tunnel: str
) -> None:
    """Mutation tried: every address taken for a public one."""
    result = await run(sandbox, tmp_path, f"curl -sS {tunnel} '{case.url}'")
    assert "hello" not in result.output
    assert len(result.refused) == 1, result
    assert case.why in result.refused[0]


async def test_nothing_goes_past_the_proxy_and_exit_codes_pass(sandbox: Bubblewrap, tmp_path: Path) -> None:
    result = await run(sandbox, tmp_path, "curl -sS --noproxy '*' -m 2 http://allowed.example.org/; kill -9 $$")
    assert "hello" not in result.output
    assert result.exit_code == 128 + 9
