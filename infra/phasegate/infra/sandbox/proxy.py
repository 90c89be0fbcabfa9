"""The only way out of a sandbox: a proxy that connects to allowed hosts at addresses that it has checked.

Used by the bubblewrap backend, one per command. It runs outside, listens on a unix socket that is shown to the command,
and takes CONNECT and plain HTTP requests, one a connection. A name is resolved here, once, and the connection goes to
the very address that was checked: a name that leads to this machine, a private network or a cloud's metadata service is
refused (rebinding).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, Self

import h11

from phasegate.infra.sandbox.addresses import reachable_address
from phasegate.infra.sandbox.destination import AllowedHosts, Destination, RefusedRequest
from phasegate.infra.sandbox.http_exchange import (
    HEAD_BYTES,
    BadGateway,
    HttpPeer,
    Streams,
    exchange,
    parse_head,
    read_head,
    tunnel,
)

_CONNECT_SECONDS = 15
_GOODBYE_SECONDS = 2
_ADDRESSES_TRIED = 8
_REFUSALS_KEPT = 50
_RESOLVERS = ThreadPoolExecutor(8, thread_name_prefix="phasegate-resolver")
"""Threads for names of sandboxes alone: a name server that hangs holds up nothing else of the engine."""


class Dialer(Protocol):
    """Port to the network: resolves names, and connects to addresses."""

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a name. Raises OSError when there is none."""
        ...

    async def dial(self, address: str, port: int) -> Streams:
        """A connection. Raises OSError when there is none to be had."""
        ...


class SystemDialer:
    """Resolver and network of this machine."""

    async def resolve(self, host: str, port: int) -> list[str]:
        """As the port says."""
        entries = await asyncio.get_running_loop().run_in_executor(
            _RESOLVERS, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(entry[4][0]) for entry in entries))

    async def dial(self, address: str, port: int) -> Streams:
        """As the port says."""
        return await asyncio.open_connection(address, port)


@dataclass(frozen=True)
class ProxyLimits:
    """Limits of one proxy.

    Attributes:
        connections: How many there may be at once; as many more are answered with 503.
        idle_seconds: Time without a byte after which a connection is closed, and time for a request's head.
    """

    connections: int = 64
    idle_seconds: float = 300


_LIMITS = ProxyLimits()


class TooManyConnections(RefusedRequest):
    """As many connections as may be are open."""

    status = "503 Service Unavailable"


class Proxy:
    """Proxy to allowed hosts; it keeps what it refused in `refused`."""

    def __init__(
        self, hosts: Sequence[str], dialer: Dialer, limits: ProxyLimits = _LIMITS, *, any_public: bool = False
    ) -> None:
        """Allow these hosts, at public addresses.

        Args:
            hosts: `example.org`, `*.example.org`, `example.org:8443`; without a port: 80 and 443.
            dialer: Resolves and connects.
            limits: Of this proxy.
            any_public: As `to_any_public`.
        """
        self._allowed, self._dialer, self._limits = AllowedHosts(tuple(hosts), any_public), dialer, limits
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusing: set[asyncio.Task[None]] = set()
        self.refused: dict[str, None] = {}

    @classmethod
    def to_any_public(cls, dialer: Dialer, named: Sequence[str] = (), limits: ProxyLimits = _LIMITS) -> Self:
        """Allow all hosts at public addresses, at any port.

        Args:
            dialer: Resolves and connects.
            named: Patterns of policy. A host in it with its port may have a private address, never this machine's own.
            limits: Of this proxy.
        """
        return cls(named, dialer, limits, any_public=True)

    @asynccontextmanager
    async def listening(self, path: Path) -> AsyncGenerator[None]:
        """Serve on a unix socket until the block ends; then every connection is cut."""
        server = await asyncio.start_unix_server(self._accept, path, limit=HEAD_BYTES)
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        full = len(self._tasks) - len(self._refusing) >= self._limits.connections
        if len(self._refusing) >= self._limits.connections:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._handle(reader, writer, full=full))
        for tasks in (self._tasks, self._refusing) if full else (self._tasks,):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, full: bool) -> None:
        try:
            async with asyncio.timeout(self._limits.idle_seconds) as idle:
                loop = asyncio.get_running_loop()

                def on_progress() -> None:
                    if not idle.expired():
                        idle.reschedule(loop.time() + self._limits.idle_seconds)

                client = HttpPeer(
                    h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES), (reader, writer), on_progress
                )
                await self._answer(client, full=full)
                await _see_off(client)
                writer.close()
                await writer.wait_closed()
        except OSError:  # one side went away, or was silent for too long
            pass
        finally:
            writer.transport.abort()

    async def _answer(self, client: HttpPeer, *, full: bool) -> None:
        try:
            if full:
                raise TooManyConnections(f"more than {self._limits.connections} connections at once")
            await self._serve(client)
        except RefusedRequest as refusal:
            if len(self.refused) < _REFUSALS_KEPT:
                self.refused[str(refusal)] = None
            if client.http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                await _refuse(client, refusal)

    async def _serve(self, client: HttpPeer) -> None:
        head, rest = await read_head(client.streams[0])
        if not head:
            return
        request = parse_head(client.http, head)
        destination = Destination.of(request)
        streams = await self._connect(destination)
        client.on_progress()
        try:
            if destination.is_tunnel:
                client.streams[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await tunnel(client.streams, streams, rest, client.on_progress)
                streams[1].close()
                await streams[1].wait_closed()
                return
            if rest:
                client.http.receive_data(rest)
            server = HttpPeer(
                h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES), streams, client.on_progress
            )
            await exchange(client, server, request, destination)
        finally:
            streams[1].transport.abort()

    async def _connect(self, destination: Destination) -> Streams:
        """Connect to an allowed host at an address that may be reached.

        Raises:
            RefusedRequest: Policy does not name it, or its name leads where nothing may go.
            BadGateway: It has no address, or does not answer.
        """
        host, port = destination.host, destination.port
        if not self._allowed.allow(destination):
            raise RefusedRequest(f"{host}:{port} is not among the hosts that policy names")
        try:
            addresses = await asyncio.wait_for(self._dialer.resolve(host, port), _CONNECT_SECONDS)
        except (OSError, UnicodeError) as error:
            raise BadGateway(f"{host} has no address: {error}") from error
        private = self._allowed.allow_private(destination)
        checked = {address: reachable_address(address, private=private) for address in addresses}
        if inner := [address for address, reachable in checked.items() if reachable is None]:
            raise RefusedRequest(f"{host} leads to {inner[0]}, which is no public address")
        for reachable in islice(filter(None, checked.values()), _ADDRESSES_TRIED):
            with suppress(OSError):
                return await asyncio.wait_for(self._dialer.dial(reachable, port), _CONNECT_SECONDS)
        raise BadGateway(f"{host}:{port} does not answer")


async def _refuse(client: HttpPeer, refusal: RefusedRequest) -> None:
    """Answer a request that goes nowhere."""
    body = f"phasegate: {refusal}\n".encode()
    head = f"HTTP/1.1 {refusal.status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    client.streams[1].write(f"{head}Connection: close\r\n\r\n".encode() + body)
    await client.streams[1].drain()


async def _see_off(client: HttpPeer) -> None:
    """Read what a client still writes, for a moment: it reads no answer if its connection breaks before."""
    reader, writer = client.streams
    if not writer.is_closing():
        writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                while await reader.read(HEAD_BYTES):
                    pass
