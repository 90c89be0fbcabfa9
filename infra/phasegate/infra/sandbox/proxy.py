"""The only way out of a sandbox: a proxy that knows the hosts policy names, and no others.

Used by the bubblewrap backend, one per command. It runs outside, listens on a unix socket that is shown to the command,
and takes CONNECT and plain HTTP requests. A name is resolved here, once, and the connection goes to the very address
that was checked: a name that leads to this machine, its neighbours or a cloud's metadata service is refused
(rebinding).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_HEAD_BYTES = 64 * 1024
_CHUNK = 64 * 1024
_CONNECT_SECONDS = 15
_REFUSALS_KEPT = 50
_STANDARD_PORTS = (80, 443)
_EMBEDDING = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("2002::/16"))
"""Networks whose addresses carry an IPv4 address inside. Source: RFC 6052, RFC 3056."""


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
        entries = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in entries))

    async def dial(self, address: str, port: int) -> Streams:
        """As the port says."""
        return await asyncio.open_connection(address, port)


class _Refused(Exception):
    """The request goes nowhere; the message says why."""


class Proxy:
    """Proxy to the hosts it knows; it keeps what it refused in `refused`."""

    def __init__(self, hosts: Sequence[str], dialer: Dialer) -> None:
        """Know these hosts.

        Args:
            hosts: `example.org`, `*.example.org`, `example.org:8443`; without a port: 80 and 443.
            dialer: Resolves and connects.
        """
        self._hosts, self._dialer = tuple(hosts), dialer
        self._tasks: set[asyncio.Task[None]] = set()
        self.refused: dict[str, None] = {}

    @asynccontextmanager
    async def listening(self, path: Path) -> AsyncGenerator[None]:
        """Serve on a unix socket until the block ends; then every connection is cut."""
        server = await asyncio.start_unix_server(self._accept, path, limit=_HEAD_BYTES)
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            await self._serve(reader, writer)
        except (
            OSError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        ):  # one side went away, or talks nonsense
            pass
        except _Refused as refusal:
            if len(self.refused) < _REFUSALS_KEPT:
                self.refused[str(refusal)] = None
            with suppress(OSError):
                body = f"phasegate: {refusal}\n".encode()
                head = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"([A-Z]+) (\S+) HTTP/1\.[01]", lines[0])
        if match is None:
            raise _Refused("not a proxy request")
        method, target = match[1], match[2]
        host, port, path = _destination(method, target)
        up_reader, up_writer = await self._connect(host, port)
        try:
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                headers = [
                    line for line in lines[1:-2] if not re.match(r"(?i)(proxy-|connection:|keep-alive:|host:)", line)
                ]
                name = host if port == 80 else f"{host}:{port}"
                request = [f"{method} {path} HTTP/1.1", f"Host: {name}", *headers, "Connection: close", "", ""]
                up_writer.write("\r\n".join(request).encode("latin-1"))
            await asyncio.gather(_pump(reader, up_writer), _pump(up_reader, writer))
        finally:
            up_writer.close()

    async def _connect(self, host: str, port: int) -> Streams:
        """Connect to an allowed host at a public address.

        Raises:
            _Refused: Policy does not name it, or its name leads where nothing may go.
        """
        if not any(_is_named(pattern, host, port) for pattern in self._hosts):
            raise _Refused(f"{host}:{port} is not among the hosts that policy names")
        try:
            addresses = await asyncio.wait_for(self._dialer.resolve(host, port), _CONNECT_SECONDS)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise _Refused(f"{host} has no address: {error}") from error
        if inner := [address for address in addresses if not _is_public(address)]:
            raise _Refused(f"{host} leads to {inner[0]}, which is no public address")
        for address in addresses:
            with suppress(OSError, TimeoutError):
                return await asyncio.wait_for(self._dialer.dial(address, port), _CONNECT_SECONDS)
        raise _Refused(f"{host}:{port} does not answer")


def _destination(method: str, target: str) -> tuple[str, int, str]:
    try:
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        host, port = (parts.hostname or "").rstrip("."), parts.port or (443 if method == "CONNECT" else 80)
    except ValueError as error:
        raise _Refused("not an address") from error
    if method != "CONNECT" and parts.scheme != "http":
        raise _Refused("not a proxy request")
    if not re.fullmatch(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?", host) or _is_address(host):
        raise _Refused(f"{host[:80] or 'nothing'} is not a host's name: addresses are not let through")
    return host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _is_named(pattern: str, host: str, port: int) -> bool:
    name, _, own_port = pattern.partition(":")
    if port not in ((int(own_port),) if own_port else _STANDARD_PORTS):
        return False
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


def _is_address(host: str) -> bool:
    """True if some resolver takes this for an address: 127.1, 0x7f000001 and 2130706433 are such, too."""
    return all(re.fullmatch(r"0x[0-9a-f]*|[0-9]+", part) for part in host.split("."))


def _is_public(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif any(ip in network for network in _EMBEDDING):
            return False
    return ip.is_global and not ip.is_multicast


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
