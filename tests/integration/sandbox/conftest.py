"""Proxy of a sandbox before a recording server, and a client that sends raw bytes."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.upstream import RecordingDialer, Upstream

from phasegate.infra.sandbox.proxy import Proxy, ProxyLimits

HOSTS = ("allowed.example.org", "*.wild.example.org", "allowed.example.org:8443")
STANDARD_LIMITS = ProxyLimits()


@dataclass
class ProxyHarness:
    """A proxy that listens, and the server that all names lead to."""

    proxy: Proxy
    path: Path
    upstream: Upstream
    dialer: RecordingDialer

    async def send(self, data: bytes, *, ended: bool = False) -> bytes:
        """Send bytes on a new connection.

        Args:
            data: All that the client says.
            ended: True if the client closes its side then.

        Returns:
            All that came back until the proxy closed the connection.
        """
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            writer.write(data)
            if ended:
                writer.write_eof()
            return await asyncio.wait_for(reader.read(), 30)
        finally:
            writer.transport.abort()


Opened = Callable[..., AbstractAsyncContextManager[ProxyHarness]]


@pytest.fixture
def opened() -> Opened:
    """Opener of a proxy; `any_public`: to all hosts, `addresses`: of names, `limits`: other ones."""

    @asynccontextmanager
    async def opener(
        *,
        any_public: bool = False,
        hosts: tuple[str, ...] = HOSTS,
        addresses: dict[str, list[str]] | None = None,
        limits: ProxyLimits = STANDARD_LIMITS,
    ) -> AsyncGenerator[ProxyHarness]:
        async with Upstream().listening() as upstream:
            dialer = RecordingDialer(upstream.port, addresses or {})
            proxy = Proxy.to_any_public(dialer, hosts, limits) if any_public else Proxy(hosts, dialer, limits)
            with tempfile.TemporaryDirectory(prefix="pg-") as folder:
                path = Path(folder) / "proxy"
                async with proxy.listening(path):
                    yield ProxyHarness(proxy, path, upstream, dialer)

    return opener
