"""A service for tests of target `process`: says which release it is, and does as it is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from phasegate.infra.deploy.process.target import ProcessTarget
from phasegate.infra.policy.deploy import DeployPolicy
from phasegate.infra.system.processes import ProcessId, command_of, find_by_mark

SERVICE = """
import http.server, os, resource, sys, time
open("starts", "a").write(".")
if os.path.exists("broken"):
    sys.exit(7)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(1)
        if self.path == "/die":
            os._exit(7)
        if self.path == "/eat":
            kept = b"x" * 200_000_000
            time.sleep(30)
        if self.path == "/chat":
            for _ in range(1000):
                print("chat" * 250)
            sys.stdout.flush()
        said = f"{commit} {os.getpid()} {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    def log_message(self, *args): pass
commit = "{commit}"
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def checkout(commit: str, folder: Path) -> None:
    """Write the service's files as of a commit."""
    folder.mkdir()
    (folder / "service.py").write_text(SERVICE.replace("{commit}", commit))


def shop(home: Path, **policy: Any) -> ProcessTarget:
    """The service's target, behind a proxy unless policy says otherwise."""
    return ProcessTarget(
        DeployPolicy.model_validate({"start": "python3 service.py", "strategy": "canary", **policy}),
        service="shop",
        state_folder=home,
        checkout=checkout,
        environment={"PATH": "/usr/bin:/bin"},
        grace=timedelta(seconds=2),
    )


async def release(target: ProcessTarget, release_id: str, commit: str) -> str:
    """Start a candidate and cut over to it; gives the service's address."""
    await target.start_candidate(release_id, commit)
    return (await target.cut_over(release_id)).url


async def ask(url: str, path: str = "/") -> str:
    """Answer of the service, on a connection of its own."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=20) as client:
        answer = await client.get(f"{url}{path}")
        answer.raise_for_status()
        return answer.text


async def pid_of(url: str) -> int:
    """The process that answers."""
    return int((await ask(url)).split()[1])


def children(mark: str) -> list[ProcessId]:
    """The processes of a mark but for their supervisors."""
    return [process for process in find_by_mark(mark) if "process.supervisor.supervisor" not in command_of(process.pid)]


async def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a state."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it did not come about within {seconds} s"
        await asyncio.sleep(0.02)


class Load:
    """Results of the requests that are sent all the time."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.said: list[str] = []
        self.failed: list[str] = []

    async def more(self, number: int) -> list[str]:
        """The next answers."""
        seen = len(self.said)
        await until(lambda: len(self.said) >= seen + number or bool(self.failed))
        return self.said[seen:]


@asynccontextmanager
async def load_on(url: str, clients: int = 4) -> AsyncIterator[Load]:
    """Send requests all the time, on connections that are kept and on fresh ones."""
    load = Load()

    async def send(fresh: bool) -> None:
        headers = {"Connection": "close"} if fresh else {}
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=20, headers=headers) as client:
            while True:
                try:
                    answer = await client.get(url)
                except httpx.HTTPError as error:
                    load.failed.append(repr(error))
                else:
                    (load.said if answer.status_code == 200 else load.failed).append(answer.text.split()[0])

    senders = [asyncio.create_task(partial(send, number % 2 == 0)()) for number in range(clients)]
    try:
        await load.more(clients)
        yield load
    finally:
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
