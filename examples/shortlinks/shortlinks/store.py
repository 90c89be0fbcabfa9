"""The links, kept in memory."""

from __future__ import annotations

import secrets
import string
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

ALPHABET = string.ascii_lowercase + string.digits


class UnknownCode(LookupError):
    """No link has this code."""


class CodeTaken(ValueError):
    """Another link has this code."""


@dataclass(frozen=True)
class Link:
    """Where a code leads, and how often it was followed."""

    code: str
    url: str
    created_at: float
    hits: int = 0


class Store:
    """All links, safe to use from many threads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._links: dict[str, Link] = {}
        self._lock = threading.Lock()

    def add(self, url: str, code: str | None = None) -> Link:
        """Keep a new link, under a code of our own making unless one is given."""
        with self._lock:
            code = code or self._free_code()
            if code in self._links:
                raise CodeTaken(code)
            link = Link(code=code, url=url, created_at=self._clock())
            self._links[code] = link
            return link

    def find(self, code: str) -> Link:
        """Look a link up without counting a hit."""
        with self._lock:
            return self._existing(code)

    def follow(self, code: str) -> Link:
        """Look a link up and count a hit."""
        with self._lock:
            link = self._existing(code)
            followed = replace(link, hits=link.hits + 1)
            self._links[code] = followed
            return followed

    def links(self) -> list[Link]:
        """Every link, by code."""
        with self._lock:
            return sorted(self._links.values(), key=lambda link: link.code)

    def _existing(self, code: str) -> Link:
        if code not in self._links:
            raise UnknownCode(code)
        return self._links[code]

    def _free_code(self) -> str:
        while (code := "".join(secrets.choice(ALPHABET) for _ in range(6))) in self._links:
            pass
        return code
