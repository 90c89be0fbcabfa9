"""Turns between a thread's checkpoints: their records in the ledger, and the thread rebuilt from them.

LangGraph's thread holds an attempt's beginning and its end. The messages in between are in the ledger alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NotRequired, TypedDict, cast

from phasegate.agents.loop import stall_detection
from phasegate.agents.loop.state import Said, ThreadState
from phasegate.agents.models.conversation import JsonObject, Message
from phasegate.agents.tools.toolbox import ToolOutcome
from phasegate.infra.ledger import TurnRecord

_SHOWN = 240
"""Characters of a tool's output that people who watch are told; the journal has all of it."""


class TurnOutcome(TypedDict):
    """Outcome of a turn, as the ledger stores it.

    Attributes:
        before: Messages of people ahead of the model's reply.
        after: Answers to the reply.
        mark: The turn's fingerprint.
        strikes: As in `ThreadState`; so are the others.
    """

    before: list[Said]
    after: list[Said]
    mark: str
    strikes: int
    checkpoint: str
    draft: dict[str, Any] | None
    stopped: str
    compacted: int
    cuts: NotRequired[int]


def apply(thread: ThreadState, number: int, reply: Message, outcome: TurnOutcome) -> None:
    """Apply a turn to a thread, which must hold everything before."""
    thread["conversation"] += [*outcome["before"], Said(said=reply), *outcome["after"]]
    thread["recent"] = stall_detection.remembered(thread.get("recent", []), outcome["mark"])
    thread["turn"], thread["strikes"], thread["checkpoint"] = number, outcome["strikes"], outcome["checkpoint"]
    thread["draft"], thread["stopped"], thread["compacted"] = outcome["draft"], outcome["stopped"], outcome["compacted"]
    thread["cuts"] = outcome.get("cuts", 0)


def rebuild(thread: ThreadState, turns: Iterable[TurnRecord]) -> ThreadState:
    """The thread after the last of these turns; the first one follows the state that the thread holds."""
    whole = ThreadState(**thread)
    whole["conversation"] = [*thread["conversation"]]
    for turn in turns:
        if turn.number != whole["turn"] + 1:  # its tools never answered: it is made again
            break
        apply(whole, turn.number, cast("Message", turn.reply), cast("TurnOutcome", turn.left))
    return whole


def shown_results(outcomes: Sequence[ToolOutcome]) -> list[JsonObject]:
    """Tool outputs for people who watch, abridged to their beginning and their end."""
    return [
        {"name": result["name"], "failed": result["failed"], "output": _abridged(result["output"])}
        for result in (outcome.result for outcome in outcomes)
    ]


def _abridged(output: str) -> str:
    short = output if len(output) <= _SHOWN else f"{output[: _SHOWN // 2]}…\n…{output[-_SHOWN // 2 :]}"
    return short.encode("utf-8", "replace").decode()
