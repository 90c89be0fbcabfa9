"""Serves an ASGI app on 127.0.0.1 and a free port, inside the caller's event loop.

The rehearsal server stands on it. uvicorn must not disturb its host process: it takes no signals, and writes no access
log.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

_BACKLOG = 128


class LoopbackServer:
    """An app being served for as long as the context is open; open requests are cut a second after it closes."""

    def __init__(self, app: ASGIApp) -> None:
        """Prepare, without listening yet."""
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        self._server = _Guest(config)
        self._socket: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        if self._socket is None:
            raise RuntimeError("the server has no address before it is entered")
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    async def __aenter__(self) -> Self:
        """Listen. Requests wait in the socket's queue until the server has started."""
        # asyncio turns Nagle's algorithm off only where the socket says TCP; left on, each answer takes 40 ms more.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(_BACKLOG)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server and release the port."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        if self._socket is not None:
            self._socket.close()


class _Guest(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to the process this server is a guest of."""
        yield
