"""State of target `command`: the output of the team's `status`, and every release there ever was.

Used by the target alone. It runs nothing and writes nothing.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from phasegate.infra.deploy.command.runner import CommandFailed
from phasegate.infra.deploy.target import LiveRelease, TargetState
from phasegate.infra.policy.deploy import DeployCommandsPolicy

_AT_MOST_OFF = 5
"""Points of percent that a share may be off: tools that shift by replicas cannot have every share."""


class Live(BaseModel):
    """Output of `status`. Unknown keys are allowed: a team's tools say more than phasegate asks."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    current: str | None
    alive: bool = True
    candidates: tuple[str, ...] = ()
    url: str = ""
    commit: str = ""
    detail: str = ""
    revision: str = ""
    weight: float = Field(default=0.0, ge=0, le=100)


class CommandRecord(BaseModel):
    """A release that was made once.

    Attributes:
        commands: As they were then; they roll it back, too.
        previous: The release that was current before it; `None` if none was.
        url: Where it answered as a candidate.
        served: True if it ever was current.
    """

    model_config = ConfigDict(extra="forbid")

    commit: str
    commands: DeployCommandsPolicy
    previous: str | None = None
    url: str = ""
    served: bool = False


class CommandState(BaseModel):
    """`command.json`."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    service: str
    releases: dict[str, CommandRecord] = {}


def state_of(state: CommandState, live: Live) -> TargetState:
    """A service as `status` says it is, with what is on record of its releases."""
    current = None
    if live.current is not None:
        current_record = state.releases.get(live.current)
        current = LiveRelease(
            release_id=live.current,
            commit=current_record.commit if current_record else live.commit,
            url=live.url,
            port=0,
            alive=live.alive,
            detail=live.detail or ("runs" if live.alive else "does not run"),
        )
    candidates = tuple(
        LiveRelease(
            release_id=release_id,
            commit=record.commit,
            url=record.url,
            port=0,
            alive=True,
            detail="runs",
            weight=live.weight,
        )
        for release_id in live.candidates
        if (record := state.releases.get(release_id))
    )
    before = state.releases.get(live.current or "")
    return TargetState(
        target="command",
        service=state.service,
        current=current,
        previous=before.previous if before else None,
        candidates=candidates,
        revision=live.revision,
    )


def serves(release_id: str | None, live: Live) -> bool:
    """True if a release is current and alive; of `None`, true if no release is current."""
    return live.current == release_id and (release_id is None or live.alive)


def require_serving(release_id: str | None, live: Live) -> None:
    """Stop unless a release is current.

    Raises:
        CommandFailed: Another one is.
    """
    if not serves(release_id, live):
        serving = (
            "nothing" if live.current is None else f"{live.current}{'' if live.alive else ', which is not alive,'}"
        )
        raise CommandFailed(f"`status` says afterwards that {serving} serves")


def require_candidate(release_id: str, live: Live) -> None:
    """Stop unless `status` names a release as a candidate.

    Raises:
        CommandFailed: It does not.
    """
    if release_id not in live.candidates:
        raise CommandFailed("`status` does not name it among its candidates afterwards")


def require_share(percent: int, live: Live) -> None:
    """Stop unless a candidate's share of the traffic is about the one wanted, and 0 if that was wanted.

    Raises:
        CommandFailed: It is another.
    """
    if abs(live.weight - percent) > (_AT_MOST_OFF if percent else 0):
        raise CommandFailed(f"`status` says afterwards that it is {live.weight:g} %")
