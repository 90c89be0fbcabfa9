"""The release that a metric's source measures, as far as the source may know it. Made by the monitoring stage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from phasegate.infra.secrets import Secrets


@dataclass(frozen=True)
class MeasuredRelease:
    """A release as it is measured.

    Attributes:
        release_id: Its name.
        commit: What it was made from.
        url: Where it answers.
        log: Gives what it has written so far.
        files: Gives a folder with the files of the commit the run began at: what the agent changed has no say in how
            it is measured.
        environment: The engine's variables.
        secrets: What must not stand in a report.
    """

    release_id: str
    commit: str
    url: str
    log: Callable[[], Awaitable[str]]
    files: Callable[[], Awaitable[Path]]
    environment: Mapping[str, str]
    secrets: Secrets

    def filled(self, text: str) -> str:
        """A query with `{release}`, `{commit}` and `{url}` filled in."""
        return text.replace("{release}", self.release_id).replace("{commit}", self.commit).replace("{url}", self.url)
