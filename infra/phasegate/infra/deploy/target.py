"""The port to wherever a change runs, and the records that pass through it.

Called by the deployment stage, by rollback and by `phasegate status`. Adapters: `process`, `kubernetes`, and `memory`
for tests.
Every operation is repeated after a crash with the same release id, so each finds what it already did.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from phasegate.infra.artifacts import Artifact
from phasegate.infra.errors import DeployFailed, TargetRefused

NOTHING_SERVES = "nothing serves yet, so there is no traffic to share"
"""Detail of a `Weight` where there is no current release."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(_Record):
    """A thing that was looked at before a release was called up.

    Attributes:
        name: What was looked at, e.g. `health`.
        ok: Whether it held.
        detail: What was seen, in a few words.
    """

    name: str
    ok: bool
    detail: str = ""


class Preview(_Record):
    """Preview of what a release would change, for the approver.

    Attributes:
        changes: A diff of what is live and what is wanted; empty where the target has none to show.
        taking: Fields of other owners that the release would take over, a line each; an approval covers just these.
    """

    changes: str = ""
    taking: tuple[str, ...] = ()


class Candidate(Artifact):
    """A release that is ready to serve: it runs beside the current one, or it was tried as far as the target can.

    Attributes:
        url: Where it answers; empty where it cannot be reached by itself.
        port: 0 where there is no such port.
    """

    kind: ClassVar[str] = "candidate"

    release_id: str
    commit: str
    url: str
    port: int
    checks: tuple[Check, ...]

    def markdown(self) -> str:
        """The candidate's commit, its address and its checks."""
        lines = [f"# Candidate {self.release_id}", "", f"- commit: `{self.commit}`"]
        lines += [f"- url: {self.url}"] if self.url else []
        lines += [f"- {'✓' if check.ok else '✗'} {check.name}: {check.detail}" for check in self.checks]
        return "\n".join(lines) + "\n"


class Release(Artifact):
    """A release that serves.

    Attributes:
        previous: The release that served before it; None when there was none.
    """

    kind: ClassVar[str] = "release"

    target: str
    service: str
    commit: str
    release_id: str
    url: str
    port: int
    previous: str | None
    checks: tuple[Check, ...]

    def markdown(self) -> str:
        """The release's target, commit and address, the release before it, and its checks."""
        lines = [
            f"# Release {self.release_id}",
            "",
            f"- service: {self.service} on target `{self.target}`",
            f"- commit: `{self.commit}`",
            f"- url: {self.url}",
            f"- previous release: {self.previous or 'none'}",
        ]
        lines += [f"- {'✓' if check.ok else '✗'} {check.name}: {check.detail}" for check in self.checks]
        return "\n".join(lines) + "\n"


class Weight(_Record):
    """The share of the real traffic that a candidate takes beside the current release.

    Attributes:
        wanted: The share asked for, in percent.
        actual: The share as read back from the target, in percent; 0 where nothing serves beside it.
        detail: How the share comes about, or why it is another than the one wanted, in a few words.
    """

    release_id: str
    wanted: int = Field(ge=0, le=100)
    actual: float = Field(ge=0, le=100)
    detail: str = ""


class LiveRelease(_Record):
    """A release as it is found at this moment.

    Attributes:
        alive: True if its process runs; a release may have died or been stopped since it was cut over.
        detail: What was found, in a few words.
        weight: The share of the traffic that it takes as a candidate, in percent.
        own_url: Where it alone answers, where others answer at `url` too; else empty.
    """

    release_id: str
    commit: str
    url: str
    port: int
    alive: bool
    detail: str = ""
    weight: float = 0.0
    own_url: str = ""


class TargetState(_Record):
    """State of one service on a target at this moment.

    Attributes:
        revision: Changes once others have changed the current release, and stays the same whatever candidates do beside
            it; empty where the target cannot tell.
    """

    target: str
    service: str
    current: LiveRelease | None
    previous: str | None
    candidates: tuple[LiveRelease, ...] = ()
    revision: str = ""


class DeployTarget(Protocol):
    """Port to one service on one target."""

    def preflight(self, commit: str) -> None:
        """Find obstacles of a release that show before a run begins, on this machine and in the commit's files.

        Nothing of the target is reached.

        Args:
            commit: The commit that the run starts from.

        Raises:
            ConfigError: The commit's files cannot be released.
            PortTaken: Another process listens at the port that the service is to have.
            TargetRefused: A program is missing.
        """
        ...

    async def status(self) -> TargetState:
        """State of the service now. Changes nothing, and does not wait for a change under way."""
        ...

    async def preview(self, commit: str) -> Preview:
        """Preview what releasing a commit would change, as of now. Changes nothing.

        Raises:
            ConfigError: The commit is not one this target can release.
            DeployFailed: The target would refuse it.
            TargetRefused: Something is missing that a person has to give.
        """
        ...

    async def start_candidate(self, release_id: str, commit: str, *, taking: Collection[str] = ()) -> Candidate:
        """Start a release beside the current one, with no share of the traffic, and wait until it is healthy.

        A target whose candidates take traffic as soon as they run gives it the smallest share it can. One that cannot
        run a release beside tries what it can without starting it, and `cut_over` finds out the rest.

        Args:
            release_id: The release.
            commit: What it is of.
            taking: What it may take over from others, as `Preview` named it.

        Raises:
            DeployFailed: It ended, or was not healthy in time; nothing of it runs any more.
            TargetRefused: Something is missing that a person has to give; nothing of it runs.

        Effects:
            A running candidate, by `release_id`: one that runs and is healthy is returned as it is.
        """
        ...

    async def set_weight(self, release_id: str, percent: int) -> Weight:
        """Give a candidate a share of the real traffic beside the current release.

        Where nothing serves there is no traffic to share: nothing is done, and `actual` is 0.

        Args:
            release_id: The candidate.
            percent: 0 to 100; 0: none.

        Raises:
            DeployFailed: There is no such candidate, or the share did not come about.
            TargetRefused: This target cannot shift traffic by itself, or a right is missing; nothing was shifted.
            TargetUnavailable: The target stayed away.

        Effects:
            The candidate's share, by `release_id` and `percent`: one that is so already is only read back.
        """
        ...

    async def cut_over(self, release_id: str, *, over: Collection[str | None] = ()) -> Release:
        """Make this release current in the place of another, with all traffic, and stop its candidate.

        Args:
            release_id: The release.
            over: The releases it may replace, `None` standing for nothing; if empty, it may replace any.

        Raises:
            DeployFailed: It was never started as a candidate, or did not become healthy in its new place; the
                release that served before serves again, if it comes up. Or another one is current than it may replace.
            PortTaken: Another process listens on the service's port; the current release still serves.
            TargetRefused: Something is missing that a person has to give; what served serves.
            TargetUnavailable: The target stayed away; the next try continues what was begun.

        Effects:
            The service's running release, by `release_id`: one that serves already is only read back.
        """
        ...

    async def stop_candidate(self, release_id: str) -> None:
        """Stop a candidate; the traffic it takes goes back to the current release first.

        Effects:
            No candidate of that id runs; nothing happens when none did.
        """
        ...

    async def restore(self, release_id: str | None) -> TargetState:
        """Make a release that was current before current again; `None` means that none was: stop the service.

        Raises:
            DeployFailed: No such release was ever there, or it did not become healthy again.
            PortTaken: Another process listens on the service's port.

        Effects:
            As `cut_over`, by `release_id`.

        Returns:
            The state as read back afterwards.
        """
        ...

    async def log(self, release_id: str, *, characters: int) -> str:
        """The last that a release wrote, even if nothing of it runs any more, or an empty string if there is nothing.

        What cannot be read is said in its place: evidence holds nothing up.

        Args:
            release_id: A candidate, the current release, or one that was.
            characters: The most there may be.
        """
        ...

    async def stop(self) -> None:
        """Stop everything of this service, candidates included; which release is current is kept.

        Effects:
            Nothing of the service runs; repeated, nothing more.
        """
        ...


def require_replaceable(service: str, release_id: str, current: str | None, over: Collection[str | None]) -> None:
    """Stop unless a release may replace the current one.

    Raises:
        DeployFailed: Something else is current.
    """
    if over and current not in {*over, release_id}:
        meant = ", ".join(release or "nothing" for release in over)
        raise DeployFailed(
            f"Release {release_id} of {service} was to replace {meant}, but {current or 'nothing'} is current by now.",
            remedy="`phasegate replay RUN --from deployment` plans the release anew, for what serves now.",
            release_id=release_id,
        )


def no_weight(target: str, remedy: str) -> TargetRefused:
    """Error for a target that, as it is configured, cannot let a candidate take a share of the traffic."""
    return TargetRefused(
        f"Target `{target}` cannot let a candidate take a share of the traffic by itself.", remedy=remedy
    )


def require_name(name: str) -> str:
    """Give a name back if it is one folder's name; release ids and services become folders.

    Raises:
        ValueError: The name could leave its folder.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name):
        raise ValueError(f"not usable as a folder's name: {name!r}")
    return name
