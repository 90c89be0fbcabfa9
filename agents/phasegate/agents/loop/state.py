"""State of an agent's thread: plain JSON that grows by each turn's additions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NotRequired, TypedDict

from langgraph.channels.delta import DeltaChannel  # pyright: ignore[reportMissingTypeStubs]  # no py.typed

from phasegate.agents.models.conversation import Message


class Said(TypedDict):
    """A message of the conversation, wrapped: LangGraph takes a bare dict with a `role` for one of LangChain's."""

    said: Message


def _append(entries: list[Said], added: Sequence[list[Said]]) -> list[Said]:
    return [*entries, *(entry for batch in added for entry in batch)]


_NO_SNAPSHOTS = 1_000_000
"""Each snapshot repeats the whole conversation; without any, a thread grows by what is said."""


class ThreadState(TypedDict):
    """The state of one attempt's thread.

    Attributes:
        conversation: The messages, without the instructions.
        turn: Model calls answered so far.
        strikes: Turns in a row that achieved nothing.
        checkpoint: The commit that holds the workspace as the last finished turn left it.
        draft: The draft that the agent handed in; None until then.
        stopped: The reason why the agent was stopped without a draft; empty if it was not.
        recent: Fingerprints of the latest turns.
        compacted: The message before which requests leave out old outputs.
        cuts: Answers in a row that were cut.
    """

    conversation: Annotated[list[Said], DeltaChannel(_append, snapshot_frequency=_NO_SNAPSHOTS)]
    turn: int
    strikes: int
    checkpoint: str
    draft: dict[str, Any] | None
    stopped: str
    recent: NotRequired[list[str]]
    compacted: NotRequired[int]
    cuts: NotRequired[int]


class ThreadUpdate(TypedDict, total=False):
    """Additions and changes of one turn to `ThreadState`."""

    conversation: list[Said]
    turn: int
    strikes: int
    checkpoint: str
    draft: dict[str, Any] | None
    stopped: str
    recent: list[str]
    compacted: int
    cuts: int
