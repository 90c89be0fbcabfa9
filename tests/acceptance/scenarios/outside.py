"""Those outside of phasegate: one who watches which version answers, and customers who ask for something."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_LOOK_SECONDS = 0.02
_ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Seen:
    """One answer.

    Attributes:
        at: When it came, in seconds since the epoch.
        version: What answered; empty: nothing did.
    """

    at: float
    version: str


class Outside(threading.Thread):
    """Asks the same address again and again until it is left, each time over a new connection."""

    def __init__(self, url: str, path: str) -> None:
        """Ask for a path; `/version` is not counted as traffic by the service."""
        super().__init__(daemon=True, name=f"outside {path}")
        self._address, self._path, self._left = urlsplit(url).netloc, path, threading.Event()
        self.seen: list[Seen] = []

    def run(self) -> None:
        """Ask."""
        while not self._left.wait(_LOOK_SECONDS):
            version = self._ask()
            self.seen.append(Seen(time.time(), version))

    def _ask(self) -> str:
        connection = http.client.HTTPConnection(self._address, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", self._path)
            answer = connection.getresponse()
            text = answer.read().decode()
            return text if answer.status == 200 else ""
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()

    def __enter__(self) -> Self:
        """Begin."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        self._left.set()
        self.join(_ANSWER_SECONDS + 1)
