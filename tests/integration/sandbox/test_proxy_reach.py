"""P10: the proxy connects to public addresses that it has checked, within limits."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from types import SimpleNamespace

import psutil
import pytest
from tests.integration.sandbox.conftest import Opened
from tests.support.upstream import PUBLIC

from phasegate.infra.sandbox.proxy import ProxyLimits

ADDRESSES = {
    "public": [PUBLIC],
    "both": [PUBLIC, "2606:4700::6810:85e5"],
    "rebound": [PUBLIC, "127.0.0.1"],
    "first": ["::1", PUBLIC],
    "metadata": ["169.254.169.254"],
    "mapped": ["::ffff:93.184.216.34"],
    "translated": ["64:ff9b::5db8:d822"],
    "isatap": ["2606:4700::5efe:10.0.0.1"],
    "zoned": ["fe80::1%eth0"],
    "private": ["10.1.2.3"],
    "local": ["fd12:3456::7"],
    "shared": ["100.100.100.100"],
    "clouds": ["100.100.100.200"],
    "odd": ["127.1"],
    "own": ["198.51.99.7"],
    "nowhere": [],
}


def get(host: str) -> bytes:
    return f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def tunnel(host: str) -> bytes:
    return f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


@pytest.fixture(autouse=True)
def own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = SimpleNamespace(family=socket.AF_INET, address="198.51.99.7")
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"eth0": [entry]})


INNER = sorted({"rebound", "first", "metadata", "mapped", "translated", "isatap", "zoned", "clouds", "odd", "own"})
PRIVATE = ["private", "local", "shared"]


@pytest.mark.parametrize("any_public", [False, True])
@pytest.mark.parametrize("name", [*INNER, *PRIVATE])
async def test_a_name_that_leads_inside_is_refused_whole(name: str, any_public: bool, opened: Opened) -> None:
    """Mutations tried: the first address of a name alone checked; no own addresses; to any public host unchecked."""
    host = f"{name}.test"
    addresses = {f"{key}.test": value for key, value in ADDRESSES.items()}
    async with opened(any_public=any_public, hosts=(host, "*.test"), addresses=addresses) as harness:
        for request in (get(host), tunnel(f"{host}:443")):
            assert (await harness.send(request)).startswith(b"HTTP/1.1 403 ")
        assert harness.dialer.dialed == []
        assert [reason.split(", ")[0].partition(" leads to ")[0] for reason in harness.proxy.refused] == [host]


@pytest.mark.parametrize("name", PRIVATE)
async def test_setup_reaches_a_private_host_that_policy_names_with_its_port(name: str, opened: Opened) -> None:
    """Mutations tried: any port; a wildcard; without setup."""
    host = f"{name}.test"
    addresses = {f"{key}.test": value for key, value in ADDRESSES.items()}
    for any_public, hosts, status in (
        (True, (f"{host}:8443",), 200),
        (False, (f"{host}:8443",), 403),
        (True, (host, "*.test:8443", f"{host}:443"), 403),
    ):
        async with opened(any_public=any_public, hosts=hosts, addresses=addresses) as harness:
            answer = await harness.send(tunnel(f"{host}:8443"), ended=True)
            assert answer.startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize("name", INNER)
async def test_no_port_opens_what_is_inside(name: str, opened: Opened) -> None:
    """Mutation tried: a host with a port is not checked."""
    host = f"{name}.test"
    addresses = {f"{key}.test": value for key, value in ADDRESSES.items()}
    async with opened(any_public=True, hosts=(f"{host}:4200",), addresses=addresses) as harness:
        assert (await harness.send(tunnel(f"{host}:4200"))).startswith(b"HTTP/1.1 403 ")
        assert harness.dialer.dialed == []


@pytest.mark.parametrize("port", [1, 22, 80, 8080, 65535])
async def test_any_public_host_is_any_port(port: int, opened: Opened) -> None:
    async with opened(any_public=True, hosts=()) as harness:
        assert (await harness.send(get(f"anything.test:{port}"))).endswith(b"hello")
        assert (await harness.send(tunnel(f"anything.test:{port}"), ended=True)).startswith(b"HTTP/1.1 200 ")
        assert harness.dialer.dialed == [(PUBLIC, port)] * 2


@pytest.mark.parametrize("host", ["93.184.216.34", "[2606:4700::1111]", "0x5db8d822"])
async def test_any_public_host_is_no_address(host: str, opened: Opened) -> None:
    async with opened(any_public=True, hosts=()) as harness:
        assert (await harness.send(get(host))).startswith(b"HTTP/1.1 403 ")


async def test_a_name_without_an_address_is_told(opened: Opened) -> None:
    async with opened(any_public=True, hosts=(), addresses={"nowhere.test": []}) as harness:
        assert (await harness.send(get("nowhere.test"))).startswith(b"HTTP/1.1 502 ")


async def test_silence_ends_a_connection(opened: Opened) -> None:
    """Mutations tried: no time limit for the head; the limit not lifted by progress; none in a tunnel."""
    async with opened(any_public=True, hosts=(), limits=ProxyLimits(idle_seconds=1.0)) as harness:
        assert await harness.send(b"") == b""
        assert await harness.send(b"GET http://a.test/ HTTP/1.1\r\n") == b""
        harness.upstream.reads.clear()
        assert await harness.send(get("a.test")) == b""
        assert (await harness.send(tunnel("a.test:443"))).endswith(b"established\r\n\r\n")
        harness.upstream.reads.set()
        reader, writer = await asyncio.open_unix_connection(harness.path)
        writer.write(tunnel("a.test:443"))
        for _ in range(8):  # each step takes less than the limit, all of them more
            writer.write(get("a.test"))
            assert await asyncio.wait_for(reader.readuntil(b"hello"), 30)
            await asyncio.sleep(0.25)
        writer.close()
        assert harness.proxy.refused == {}


async def test_there_are_only_so_many_connections_at_once(opened: Opened) -> None:
    """Mutations tried: no limit; a connection that has ended counts on."""
    limits = ProxyLimits(connections=3)
    async with opened(any_public=True, hosts=(), limits=limits) as harness, AsyncExitStack() as stack:
        for _ in range(2):  # those of the first round have ended
            for _ in range(3):
                reader, writer = await asyncio.open_unix_connection(harness.path)
                stack.callback(writer.close)
                writer.write(tunnel("a.test:443"))
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            assert (await harness.send(get("a.test"))).startswith(b"HTTP/1.1 503 ")
            await stack.aclose()
            while not (await harness.send(get("a.test"))).endswith(b"hello"):
                pass  # the proxy has not seen yet that a client left


async def written(writer: asyncio.StreamWriter, size: int) -> int:
    """Write until nothing more is taken, and return how many bytes were."""
    block = bytes(1024**2)
    for count in range(0, size, len(block)):
        writer.write(block)
        try:
            await asyncio.wait_for(writer.drain(), 5)
        except TimeoutError:
            return count
    return size


@pytest.mark.parametrize("way", ["post", "chunks", "tunnel"])
async def test_a_server_that_does_not_read_stops_the_client(way: str, opened: Opened) -> None:
    """Mutation tried: no wait for the writer."""
    size = 256 * 1024**2
    head = {
        "post": b"POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n" % size,
        "chunks": b"POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % size,
        "tunnel": tunnel("a.test:443"),
    }[way]
    async with opened(any_public=True, hosts=()) as harness:
        harness.upstream.reads.clear()
        _, writer = await asyncio.open_unix_connection(harness.path)
        writer.write(head)
        assert await written(writer, size) < size // 4
        writer.transport.abort()


async def test_other_tasks_run_while_a_client_sends_small_chunks(opened: Opened) -> None:
    """Mutation tried: `next_event` without its pause."""
    count, turns = 8_000, 0
    async with opened(any_public=True, hosts=()) as harness:
        chunks = asyncio.create_task(
            harness.send(
                b"POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                + b"1\r\nx\r\n" * count
                + b"0\r\n\r\n"
            )
        )
        while not chunks.done():
            await asyncio.sleep(0)
            turns += 1
        assert chunks.result().endswith(b"hello")
        assert turns > count
