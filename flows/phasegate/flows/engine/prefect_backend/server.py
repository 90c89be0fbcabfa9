"""The Prefect server, as a process of its own: `python -m phasegate.flows.engine.prefect_backend.server`.

Started by `server_process`, which also sets the environment it needs. It outlives an engine that was killed, so that
the next engine adopts it, and ends by itself when no engine has come for a while. It knows no flow.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import threading
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from phasegate.flows.engine.info import EngineInfo, EngineLock
from phasegate.flows.engine.prefect_backend import server_database, server_process
from phasegate.infra.settings import Settings
from phasegate.infra.system.detached import DetachedProcess
from phasegate.infra.web.access import BODY_LIMIT, AccessMiddleware, AccessRules
from phasegate.infra.web.body import read_body, replayed
from phasegate.infra.web.login import BrowserSessions

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PROBES_PER_LINGER = 6
_GRACE_SECONDS = 5.0
_TRIES = 20
_BETWEEN_TRIES_SECONDS = 0.05
_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""Content security policy of Prefect's pages: they show agents' Markdown, which must load and run nothing."""


class EngineWatch(threading.Thread):
    """Ends this process once no engine has wanted it for a while."""

    def __init__(self, settings: Settings, linger: timedelta) -> None:
        """Watch the engine of this state folder.

        Args:
            settings: The settings of the engine to watch.
            linger: How long to stay without an engine.
        """
        super().__init__(name="engine-watch", daemon=True)
        self._settings = settings
        self._lock = EngineLock(settings)
        self._step = linger.total_seconds() / _PROBES_PER_LINGER
        self._self = DetachedProcess.of(os.getpid())

    def run(self) -> None:
        """Probe until this server has been unwanted for the whole time."""
        unwanted, pause = 0, threading.Event()
        while unwanted < _PROBES_PER_LINGER:
            pause.wait(self._step)
            unwanted = 0 if self._wanted() else unwanted + 1
        os.kill(os.getpid(), signal.SIGTERM)
        pause.wait(_GRACE_SECONDS)
        os._exit(1)

    def _wanted(self) -> bool:
        if not self._lock.held():
            return False
        engine = EngineInfo.read(self._settings)
        # An engine that died before it had written us down leaves us to one that started another server.
        return engine is None or engine.server in {None, self._self}


class RetryOnBusyMiddleware:
    """The server's app, with retries of requests that SQLite was too busy for.

    Two writers at once are too many for SQLite as Prefect uses it; the refused one has written nothing. Prefect's
    client would retry two seconds later, four the next time, and a person waits with it.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does in the end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await read_body(receive, BODY_LIMIT)
        if body is None:
            return
        for _ in range(_TRIES):
            answer = _Answer(send)
            try:
                await self._app({**scope}, replayed(body, receive), answer.send)
            except Exception:  # which Starlette raises again after it has been answered for
                if not answer.is_refused:
                    raise
            if not answer.is_refused:
                return
            await asyncio.sleep(_BETWEEN_TRIES_SECONDS)
        await self._app(scope, replayed(body, receive), send)


class _Answer:
    """Hands an answer on as it comes, unless it says that the server is too busy."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_refused = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == HTTPStatus.SERVICE_UNAVAILABLE:
            self.is_refused = True
        if not self.is_refused:
            await self._send(message)


def _access_rules(port: int, credentials: str) -> AccessRules:
    """The rules by which Prefect's server admits requests.

    Its pages are those of Prefect's package, so a cookie is enough for them. Its API holds requirements, changes and
    logs, and takes the key.
    """
    return AccessRules(
        service=server_process.service_address(port),
        pages=server_process.pages_address(port),
        credentials=credentials,
        needs_key=lambda _, path: path.startswith("/api") and path != "/api/health",  # asked by the pages without it
        storage_item="prefect-password",  # where Prefect's pages keep what they send as `Basic` authorization
        content_policy=_CONTENT_POLICY,
    )


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--socket", type=int, required=True, action="append", help="an inherited, bound TCP socket")
    parser.add_argument("--port", type=int, required=True, help="the port of these sockets")
    parser.add_argument("--linger", type=float, required=True, help="seconds to stay without an engine")
    arguments = parser.parse_args()
    settings = Settings(home=arguments.home)
    EngineWatch(settings, timedelta(seconds=arguments.linger)).start()
    server_database.prepare(settings.prefect / "prefect.db", server_database.template(os.environ))
    # Only now, since it takes seconds: a server that no engine wants ends meanwhile, too.
    import uvicorn  # noqa: PLC0415 -- see above
    from prefect.server.api.server import create_app  # noqa: PLC0415 -- see above

    rules = _access_rules(arguments.port, os.environ[server_process.AUTH_VARIABLE])
    sessions = BrowserSessions(rules.credentials.partition(":")[2])
    app = AccessMiddleware(RetryOnBusyMiddleware(create_app(final=True)), rules, sessions)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=number) for number in arguments.socket])
    # Told to end while it was still starting, uvicorn leaves the database's threads running, which would keep us here.
    os._exit(0)


if __name__ == "__main__":
    main()
