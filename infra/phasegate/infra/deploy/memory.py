"""The deploy target that only pretends: the twin of the port, for tests and for rehearsals that perform nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from phasegate.infra.deploy.target import (
    NOTHING_SERVES,
    Candidate,
    Check,
    LiveRelease,
    Preview,
    Release,
    TargetState,
    Weight,
    require_replaceable,
)
from phasegate.infra.errors import DeployFailed

_PORT = 8000
_HEALTHY = Check(name="health", ok=True, detail="as told")


@dataclass
class _MemoryRelease:
    commit: str
    previous: str | None = None


@dataclass
class InMemoryTarget:
    """A service that runs nowhere.

    Attributes:
        service: Its name.
        sick: Commits that never become healthy.
        sick_in_place: Commits that are healthy as a candidate and not in the service's place.
    """

    service: str
    sick: Collection[str] = ()
    sick_in_place: Collection[str] = ()
    _current: str | None = None
    _serving: bool = False
    _releases: dict[str, _MemoryRelease] = field(default_factory=dict)
    _candidates: dict[str, int] = field(default_factory=dict)
    _weights: dict[str, int] = field(default_factory=dict)

    def preflight(self, commit: str) -> None:
        """As `DeployTarget.preflight`: no commit has an obstacle here."""

    async def status(self) -> TargetState:
        """As `DeployTarget.status`."""
        current = self._current
        return TargetState(
            target="memory",
            service=self.service,
            current=self._live(current, _PORT, alive=self._serving) if current else None,
            previous=self._releases[current].previous if current else None,
            candidates=tuple(self._live(release_id, port, alive=True) for release_id, port in self._candidates.items()),
        )

    async def preview(self, commit: str) -> Preview:
        """As `DeployTarget.preview`."""
        return Preview(changes=f"- {self._releases[self._current].commit if self._current else 'nothing'}\n+ {commit}")

    async def start_candidate(self, release_id: str, commit: str, *, taking: Collection[str] = ()) -> Candidate:
        """As `DeployTarget.start_candidate`."""
        release = self._releases.setdefault(release_id, _MemoryRelease(commit))
        if release.commit != commit:
            raise DeployFailed(f"Release {release_id} is of commit {release.commit}, not {commit}.")
        if commit in self.sick:
            raise DeployFailed(f"Release {release_id} of {self.service} did not come up.")
        port = self._candidates.setdefault(release_id, _PORT + 1 + len(self._candidates))
        return Candidate(release_id=release_id, commit=commit, url=_url(port), port=port, checks=(_HEALTHY,))

    async def set_weight(self, release_id: str, percent: int) -> Weight:
        """As `DeployTarget.set_weight`."""
        if release_id not in self._candidates:
            raise DeployFailed(f"{self.service} has no candidate {release_id}.")
        if self._current is None:
            return Weight(release_id=release_id, wanted=percent, actual=0, detail=NOTHING_SERVES)
        self._weights[release_id] = percent
        return Weight(release_id=release_id, wanted=percent, actual=percent, detail="as told")

    async def cut_over(self, release_id: str, *, over: Collection[str | None] = ()) -> Release:
        """As `DeployTarget.cut_over`."""
        release = self._release(release_id)
        require_replaceable(self.service, release_id, self._current, over)
        if release.commit in (*self.sick, *self.sick_in_place):
            raise DeployFailed(f"Release {release_id} of {self.service} did not come up.")
        if self._current != release_id:
            release.previous = self._current
        self._serve(release_id)
        await self.stop_candidate(release_id)
        return Release(
            target="memory",
            service=self.service,
            commit=release.commit,
            release_id=release_id,
            url=_url(_PORT),
            port=_PORT,
            previous=release.previous,
            checks=(_HEALTHY,),
        )

    async def stop_candidate(self, release_id: str) -> None:
        """As `DeployTarget.stop_candidate`."""
        self._weights.pop(release_id, None)
        self._candidates.pop(release_id, None)

    async def restore(self, release_id: str | None) -> TargetState:
        """As `DeployTarget.restore`."""
        if release_id is None:
            self._current, self._serving = None, False
        else:
            self._release(release_id)
            self._serve(release_id)
        return await self.status()

    async def log(self, release_id: str, *, characters: int) -> str:
        """As `DeployTarget.log`: it writes nothing."""
        return ""

    async def stop(self) -> None:
        """As `DeployTarget.stop`."""
        self._serving = False
        self._candidates.clear()
        self._weights.clear()

    def _release(self, release_id: str) -> _MemoryRelease:
        if release_id not in self._releases:
            raise DeployFailed(f"{self.service} has no release {release_id}.")
        return self._releases[release_id]

    def _serve(self, release_id: str) -> None:
        self._current, self._serving = release_id, True

    def _live(self, release_id: str, port: int, *, alive: bool) -> LiveRelease:
        return LiveRelease(
            release_id=release_id,
            commit=self._releases[release_id].commit,
            url=_url(port),
            port=port,
            alive=alive,
            weight=self._weights.get(release_id, 0),
        )


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
