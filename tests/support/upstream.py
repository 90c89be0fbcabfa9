"""HTTP server for tests of the sandbox's proxy: it reads what it can as requests, and keeps every byte that it got."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field

from phasegate.infra.sandbox.http_exchange import Streams

PUBLIC = "93.184.216.34"
_HEAD_END = re.compile(rb"\r?\n\r?\n")


@dataclass
class Upstream:
    """Server that is as lenient as the worst: it takes bare line feeds, and one request after another.

    Attributes:
        answer: Sent for each request.
        requests: Each request that it read: its head, with one line feed a line, and its body.
        received: All bytes, by connection.
        reads: Cleared while the server must not read.
    """

    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    received: list[bytearray] = field(default_factory=list)
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[Upstream]:
        """Serve on loopback until the block ends."""
        self.reads.set()
        tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(
            lambda *streams: tasks.add(asyncio.create_task(self._serve(*streams))), "127.0.0.1", 0
        )
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def heads(self) -> list[str]:
        """The heads of all requests."""
        return [head for head, _ in self.requests]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept = bytearray()
        self.received.append(kept)
        pending = b""
        with closing(writer.transport), suppress(OSError):
            while True:
                await self.reads.wait()
                data = await reader.read(64 * 1024)
                kept += data
                pending += data
                while (request := _request(pending)) is not None:
                    head, body, pending = request
                    self.requests.append((head, body))
                    writer.write(self.answer)
                    await writer.drain()
                if not data:
                    break


@dataclass(frozen=True)
class RecordingDialer:
    """Names lead where the table says, and every address is one server.

    Attributes:
        port: The server's, on loopback.
        addresses: By name; all others are public.
        dialed: Every address that was connected to.
    """

    port: int
    addresses: dict[str, list[str]] = field(default_factory=dict)
    dialed: list[tuple[str, int]] = field(default_factory=list)

    async def resolve(self, host: str, port: int) -> list[str]:
        """As the port says."""
        return self.addresses.get(host, [PUBLIC])

    async def dial(self, address: str, port: int) -> Streams:
        """As the port says."""
        self.dialed.append((address, port))
        return await asyncio.open_connection("127.0.0.1", self.port)


def _request(data: bytes) -> tuple[str, bytes, bytes] | None:
    """The first request in some bytes, and what comes behind it."""
    match = _HEAD_END.search(data)
    if match is None:
        return None
    head, rest = data[: match.start()].replace(b"\r\n", b"\n").decode("latin-1"), data[match.end() :]
    if re.search(r"(?i)\ntransfer-encoding:", head):
        end = rest.find(b"0\r\n\r\n")
        return None if end < 0 else (head, rest[:end], rest[end + 5 :])
    length = re.search(r"(?i)\ncontent-length: *(\d+)", head)
    size = int(length[1]) if length else 0
    return None if len(rest) < size else (head, rest[:size], rest[size:])
