"""Parties outside of phasegate: an observer of the version that answers, customers, and service discovery."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.acceptance.scenarios.shops import SampleService
from tests.prometheus import PrometheusServer
from typing_extensions import override

_LOOK_SECONDS = 0.02
_DISCOVERY_SECONDS = 0.25
_ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Seen:
    """An answer.

    Attributes:
        at: Its time, in seconds since the epoch.
        version: The version that answered; empty if none did.
    """

    at: float
    version: str


class _Beside(threading.Thread):
    """Background thread that runs until its context is left."""

    def __init__(self, name: str) -> None:
        super().__init__(daemon=True, name=name)
        self._left = threading.Event()

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


class Discovery(_Beside):
    """Tells Prometheus where the service's processes listen, as they come and go."""

    def __init__(self, shop: SampleService, prometheus: PrometheusServer) -> None:
        """Look at a shop."""
        super().__init__("discovery")
        self._shop, self._prometheus = shop, prometheus

    @override
    def run(self) -> None:
        known: frozenset[str] = frozenset()
        while not self._left.wait(_DISCOVERY_SECONDS):
            if (found := self._shop.addresses()) != known:
                self._prometheus.watch(*found)
                known = found


class Outside(_Beside):
    """Asks the same address again and again until it is left, each time over a new connection."""

    def __init__(self, url: str, path: str) -> None:
        """Ask for a path; `/version` is not counted as traffic by the service."""
        super().__init__(f"outside {path}")
        self._address, self._path = urlsplit(url).netloc, path
        self.seen: list[Seen] = []

    @override
    def run(self) -> None:
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
