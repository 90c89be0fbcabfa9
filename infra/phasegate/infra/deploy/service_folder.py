"""Folder of one service on disk: its lock, its state and its releases' places.

    <state>/services/<service>/
        lock                     held during a change
        state.json               what is current, what runs, every release there ever was
        releases/<id>/source     clean checkout the release runs in
        releases/<id>/ready      there once the checkout is complete and set up
        releases/<id>/log        its standard output and error, with what was moved aside of it in `log.1`
        releases/<id>/*.json     what became of its processes, as their supervisors report
        front/                   the proxy's configuration, socket, log and report, where there is one

Used by the targets and by the listing of services; of `kubernetes` it holds logs only. It must not start or stop
anything.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from phasegate.infra.deploy.target import Check, require_name
from phasegate.infra.errors import DeployFailed
from phasegate.infra.file_lock import locked
from phasegate.infra.policy.deploy import DeployPolicy
from phasegate.infra.system.processes import ProcessId

_STATE = "state.json"
Role = Literal["service", "candidate", "release", "front", "command"]
"""`service`: on the service's own port; `candidate`: beside it; `release`: behind the proxy, candidate or not."""
T = TypeVar("T", bound=BaseModel)


class Running(BaseModel):
    """A process that was started for a release.

    Attributes:
        process: Its supervisor; the process itself where there is no report, as in what earlier versions started.
        report: Where its supervisor reports, below the service's folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    release_id: str
    port: int
    process: ProcessId
    report: str = ""


class ReleaseRecord(BaseModel):
    """Record of a release, by which it can be started again, later, under another policy.

    Attributes:
        deploy: `[deploy]` as it was when the release was made.
        port: The service's port that it served on; `None` while it was only ever a candidate.
        previous: The release that was current before it; `None` if none was.
    """

    model_config = ConfigDict(extra="forbid")

    commit: str
    deploy: DeployPolicy
    port: int | None = None
    previous: str | None = None
    checks: tuple[Check, ...] = ()


class ServiceState(BaseModel):
    """`state.json`.

    Attributes:
        current: The release that should serve, whether or not its process runs.
        serving: The process last started on the service's port, or behind the proxy to take all its traffic.
        candidates: Release id to the process started beside it.
        front: What listens on the service's port, where that is no release itself.
        host: The address the service is reached at.
        weights: Release id to its share of the traffic, in percent, as the proxy is to be told.
        leaving: Release id to a process that gets no more traffic, and may finish what it has begun.
    """

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    service: str
    port: int | None = None
    host: str = "127.0.0.1"
    current: str | None = None
    serving: Running | None = None
    candidates: dict[str, Running] = {}
    front: Running | None = None
    weights: dict[str, int] = {}
    leaving: dict[str, Running] = {}
    releases: dict[str, ReleaseRecord] = {}

    def running(self) -> list[Running]:
        """Every process that was written down, whether or not it still runs."""
        entries = (self.serving, self.front, *self.candidates.values(), *self.leaving.values())
        return [running for running in entries if running]

    def process_of(self, release_id: str) -> Running | None:
        """The process of a release that serves, may serve or has just served."""
        serving = self.serving if self.serving and self.serving.release_id == release_id else None
        return self.candidates.get(release_id) or serving or self.leaving.get(release_id)

    def release(self, release_id: str) -> ReleaseRecord:
        """The record of a release.

        Raises:
            DeployFailed: There is none.
        """
        if release_id not in self.releases:
            raise no_release(self.service, release_id)
        return self.releases[release_id]


class ServiceFolder:
    """Folder of one service under phasegate's state folder."""

    def __init__(self, state_folder: Path, service: str) -> None:
        """Name the folder; nothing is made yet.

        Raises:
            ValueError: The service's name could leave its folder.
        """
        self.service = require_name(service)
        self.path = (state_folder / "services" / service).absolute()

    def release(self, release_id: str) -> Path:
        """The folder of a release.

        Raises:
            ValueError: The id could leave its folder.
        """
        return self.path / "releases" / require_name(release_id)

    def keep_log(self, release_id: str, text: str) -> None:
        """Keep what a release wrote outside of its folder, in the place of what was kept before.

        Raises:
            ValueError: The id could leave its folder.
        """
        path = self.release(release_id) / "log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def mark(self, role: Role | None = None, release_id: str | None = None) -> str:
        """Mark that processes of this service are found by; narrower with a role, and with a release."""
        return "|".join([str(self.path), *(part for part in (role, release_id) if part), ""])

    def log_text(self, release_id: str, *, characters: int) -> str:
        """The last that a release wrote."""
        home = self.release(release_id)
        text = ""
        for log in (home / "log", home / "log.1"):  # its newer half first
            if len(text) < characters and log.exists():
                text = log.read_text(errors="replace")[-(characters - len(text)) :] + text
        return text

    def read(self) -> ServiceState:
        """The state of target `process` as last written, or an empty one if there is none.

        Raises:
            DeployFailed: The file is not what this version writes.
        """
        return self.read_as(ServiceState) or ServiceState(service=self.service)

    def read_as(self, kind: type[T], name: str = _STATE) -> T | None:
        """A state as last written, or `None` if there is none.

        Raises:
            DeployFailed: The file is not what this version writes.
        """
        try:
            return kind.model_validate_json((self.path / name).read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise DeployFailed(
                f"The state of {self.service} cannot be read: {self.path / name}",
                remedy="It was written by another version of phasegate, or edited: use that version, or move it away.",
            ) from error

    def write(self, state: BaseModel, name: str = _STATE) -> None:
        """Replace a state, whole or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        fresh = self.path / f"{name}.new"
        with fresh.open("w", encoding="utf-8") as file:
            file.write(state.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path / name)

    @asynccontextmanager
    async def lock(self, name: str = "lock") -> AsyncGenerator[None]:
        """Hold the lock on changes of the service, or another one by name; waits until its holder releases it.

        The lock ends with its process.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        async with locked(self.path / name):
            yield


def no_release(service: str, release_id: str) -> DeployFailed:
    """There is no release of that id."""
    return DeployFailed(
        f"{service} has no release {release_id}.",
        remedy="See with `phasegate status` what there is.",
        release_id=release_id,
    )
