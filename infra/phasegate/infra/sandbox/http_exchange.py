"""Exchange of an HTTP request and its answer: parsed on the one side, written anew on the other.

Called by the sandbox's proxy, which names the destination and connects. Nothing that h11 has not parsed passes, but for
the content of a tunnel. Bodies stream: a side that does not read stops the other. Source: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import h11

from phasegate.infra.sandbox.destination import Destination, MalformedRequest, RefusedRequest

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Headers = list[tuple[bytes, bytes]]

HEAD_BYTES = 64 * 1024
_CHUNK = 64 * 1024
_END = b"\r\n\r\n"
_FORBIDDEN = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|\r\n[ \t]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Bare line feeds and carriage returns, folded lines, control characters: h11 lets some of them pass."""
_ONE_HOP = frozenset(
    (
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Headers that are written anew, or that hold for one connection only."""


class BadGateway(RefusedRequest):
    """The server cannot be reached, or its answer cannot be passed on."""

    status = "502 Bad Gateway"


@dataclass(frozen=True)
class HttpPeer:
    """Side of an exchange.

    Attributes:
        http: Its state; `h11.SERVER` towards a client.
        streams: Its connection.
        on_progress: Called whenever bytes move.
    """

    http: h11.Connection
    streams: Streams
    on_progress: Callable[[], None]

    async def next_event(self) -> object:
        """The next event that this side sends.

        Raises:
            h11.RemoteProtocolError: It breaks the protocol.
            ConnectionError: A client closed the connection within its request.
        """
        while (event := self.http.next_event()) is h11.NEED_DATA:
            data = await self.streams[0].read(_CHUNK)
            self.on_progress()
            if not data and self.http.our_role is h11.SERVER:
                raise ConnectionResetError("the client left within its request")
            self.http.receive_data(data)
        await asyncio.sleep(0)  # a read of many small chunks must not hold up what else runs
        return event

    async def send(self, event: h11.Event) -> None:
        """Write an event, and wait until there is room for the next."""
        if data := self.http.send(event):
            self.streams[1].write(data)
            await self.streams[1].drain()
            self.on_progress()


async def read_head(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read a request's head.

    Returns:
        The head, and what came behind it; both empty if the client says nothing at all.

    Raises:
        MalformedRequest: It is too long, ends early, or has a character that heads cannot have.
    """
    data = bytearray()
    while True:
        seen = len(data)
        chunk = await reader.read(_CHUNK)
        data += chunk
        end = data.find(_END, max(0, seen - len(_END)))
        length = len(data) if end < 0 else end + len(_END)
        if _FORBIDDEN.search(data, max(0, seen - len(_END)), length):
            raise MalformedRequest("the request's head has a bare line end, a folded line or a control character")
        if length > HEAD_BYTES:
            raise MalformedRequest(f"the request's head is longer than {HEAD_BYTES} bytes")
        if end >= 0:
            return bytes(data[:length]), bytes(data[length:])
        if not chunk and data:
            raise MalformedRequest("the request ends within its head")
        if not chunk:
            return b"", b""


def parse_head(http: h11.Connection, head: bytes) -> h11.Request:
    """Parse a request's head.

    Raises:
        MalformedRequest: h11 does not take it for a request.
    """
    http.receive_data(head)
    try:
        event = http.next_event()
    except h11.RemoteProtocolError as error:
        raise _malformed(error) from error
    if not isinstance(event, h11.Request):
        raise MalformedRequest("not a request")
    return event


async def exchange(client: HttpPeer, server: HttpPeer, request: h11.Request, destination: Destination) -> None:
    """Send a checked request on, and its answer back.

    Args:
        client: Its head has been read.
        server: A new connection.
        request: The client's.
        destination: As it was checked: it alone says host and path.

    Raises:
        MalformedRequest: The request's body breaks its framing.
        BadGateway: The server's answer is no HTTP, or ends early.
        ConnectionError: A side went away.
    """
    framing = [(name, value) for name, value in request.headers if name in {b"content-length", b"transfer-encoding"}]
    headers = [(b"Host", destination.authority.encode("ascii")), *_passed_on(request.headers), *framing]
    anew = h11.Request(
        method=request.method,
        target=destination.path,
        headers=[*headers, (b"Connection", b"close")],
        http_version="1.1",
    )
    await server.send(anew)
    upload = asyncio.create_task(_upload(client, server))
    download = asyncio.create_task(_download(server, client))
    try:
        await asyncio.wait({upload, download}, return_when=asyncio.FIRST_COMPLETED)
        if upload.done() and isinstance(error := upload.exception(), MalformedRequest):
            raise error
        await download  # a server may answer, and stop reading, before it has the whole body
    finally:
        upload.cancel()
        download.cancel()
        await asyncio.gather(upload, download, return_exceptions=True)


async def tunnel(client: Streams, server: Streams, first: bytes, on_progress: Callable[[], None]) -> None:
    """Pass bytes both ways until both sides have ended, or one is gone.

    Args:
        client: Has been answered.
        server: The other end.
        first: What the client has sent already.
        on_progress: Called whenever bytes move.
    """
    server[1].write(first)
    await asyncio.gather(_pump(client[0], server[1], on_progress), _pump(server[0], client[1], on_progress))


async def _upload(client: HttpPeer, server: HttpPeer) -> None:
    try:
        if client.http.they_are_waiting_for_100_continue:
            await client.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
        while isinstance(event := await client.next_event(), h11.Data):
            await server.send(h11.Data(data=bytes(event.data)))
    except h11.RemoteProtocolError as error:
        raise _malformed(error) from error
    await server.send(h11.EndOfMessage())


async def _download(server: HttpPeer, client: HttpPeer) -> None:
    try:
        while isinstance(event := await server.next_event(), h11.InformationalResponse):
            pass
        if not isinstance(event, h11.Response):
            raise BadGateway("the server did not answer")
        chunked = any(name == b"transfer-encoding" for name, _ in event.headers)
        framing = [(name, value) for name, value in event.headers if name == b"content-length" and not chunked]
        headers = [*_passed_on(event.headers), *framing, (b"Connection", b"close")]
        await client.send(h11.Response(status_code=event.status_code, headers=headers, reason=event.reason))
        while isinstance(event := await server.next_event(), h11.Data):
            await client.send(h11.Data(data=bytes(event.data)))
        await client.send(h11.EndOfMessage())
    except h11.ProtocolError as error:
        raise BadGateway("the server's answer is not HTTP, or ends early") from error


def _passed_on(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Headers without those for one connection: the standard's, a proxy's, and those that `Connection` names."""
    pairs = list(headers)
    named = {word.strip().lower() for name, value in pairs if name == b"connection" for word in value.split(b",")}
    return [
        (name, value)
        for name, value in pairs
        if name not in _ONE_HOP and name not in named and not name.startswith(b"proxy-")
    ]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_progress: Callable[[], None]) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
            on_progress()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:  # one side is gone: the other is of no use to anybody
        writer.transport.abort()


def _malformed(error: h11.ProtocolError) -> MalformedRequest:
    """The error in h11's words, without what it quotes of the request: that may be a credential."""
    return MalformedRequest(f"not a request as the protocol wants it: {str(error).partition(':')[0][:80]}")
