"""Service that scenarios release: it behaves as the release under test must.

Used twice: as a program (`python3 -I service.py PORT`, next to a `release.json`) where releases are processes, and as
`Conduct` by the stand-in for pods where they are images. It imports nothing of this repository, since it is copied into
the scratch one.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

ERROR_EVERY = 20
LAG_SECONDS = 0.25
FLAPS = {"flaps-once": ({5, 6, 7, 8},), "flaps": ({5, 6, 7, 8}, {13, 14, 15, 16})}
"""Requests that fail, four to a measurement: those of the second measurement, or of the second and the fourth."""
NEVER_SECONDS = 3600.0
IDLE = "shop_idle_total 0\n"
"""A counter of requests that no client ever makes."""


class Answers(Protocol):
    """Answers requests: one release, or all pods behind a Service."""

    def answer(self, path: str) -> tuple[int, str]:
        """Status and text."""
        ...


class Conduct:
    """Behaviour of one release: its version, its faults, and its counters."""

    def __init__(self, behaviour: str, version: str, release: str) -> None:
        """Answer nothing yet.

        Args:
            behaviour: `well`, `errs` (one request in twenty fails), `lags`, `flaps-once`, `flaps`, `dies` (of its first
                request); others are well.
            version: What it says it is.
            release: The release's id, for its metrics.
        """
        self.behaviour, self.version, self.release = behaviour, version, release
        self._lock = threading.Lock()
        self._requests, self._errors, self._seconds = 0, 0, 0.0

    def answer(self, path: str) -> tuple[int, str]:
        """Status and text. Every path but `/version`, `/healthz` and `/metrics` counts as traffic."""
        match path.partition("?")[0]:
            case "/healthz":
                return 200, "ok"
            case "/version":
                return 200, self.version
            case "/metrics":
                return 200, IDLE + self.counted()
            case _:
                return self._serve()

    def counted(self) -> str:
        """For Prometheus; as with its client libraries, a series is there from the first request on."""
        with self._lock:
            counted = {"requests": self._requests, "errors": self._errors, "seconds": self._seconds}
        labels = f'release="{self.release}",version="{self.version}"'
        lines = [f"shop_{name}_total{{{labels}}} {value}" for name, value in counted.items()]
        return "\n".join([*lines, ""]) if counted["requests"] else ""

    def _serve(self) -> tuple[int, str]:
        began = time.monotonic()
        if self.behaviour == "dies":
            os._exit(3)
        with self._lock:
            self._requests += 1
            number = self._requests
        failed = self.behaviour == "errs" and number % ERROR_EVERY == 0
        failed = failed or any(number in flap for flap in FLAPS.get(self.behaviour, ()))
        if self.behaviour == "lags":
            time.sleep(LAG_SECONDS)
        with self._lock:
            self._errors += failed
            self._seconds += time.monotonic() - began
        return (500, "no") if failed else (200, self.version)


def main() -> None:
    """Serve what `release.json` says, on the port given."""
    wanted = json.loads(Path("release.json").read_text())
    if wanted["behaviour"] == "crashes":
        sys.exit(3)
    if wanted["behaviour"] == "slow":
        time.sleep(NEVER_SECONDS)
    conduct = Conduct(wanted["behaviour"], wanted["version"], release=Path.cwd().parent.name)
    listen(conduct, int(sys.argv[1])).serve_forever()


def listen(answers: Answers, port: int) -> ThreadingHTTPServer:
    """A server on loopback that answers so; to be served."""

    class Handler(BaseHTTPRequestHandler):
        wbufsize = -1  # the answer leaves in one packet

        def do_GET(self) -> None:
            status, text = answers.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    return Server(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    main()
