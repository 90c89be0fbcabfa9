"""Warnings about agents: replaced models, and refused, suspicious and masked tool calls, for the person who decides.

Made for the run's report, from the events that the tools record. The sum stays short, however much an agent does: a
line per kind, with a count and a few examples. It must not know how it is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from phasegate.infra.ledger import Event
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.policy.permissions import ToolName

Category = Literal["replaced", "denied", "attempted", "masked"]
KINDS = (EventKind.MODEL_REPLACED, EventKind.TOOL_DENIED, EventKind.SANDBOX_ATTEMPTED, EventKind.SECRET_MASKED)
"""The kinds of events that are summed up."""
_TOOLS = (*get_args(ToolName), "finish")
_ORDER: tuple[Category, ...] = get_args(Category)
_EXAMPLES, _EXAMPLE_CHARACTERS, _AT_MOST = 3, 120, 24


class AgentWarning(BaseModel):
    """Warning about a replaced model, one kind of thing that agents tried, or one kind of masked secret.

    Attributes:
        sort: `replaced`: another model took over; `denied`: refused, and nothing ran; `attempted`: a command left signs
            of it; `masked`: a secret.
        what: The models, the tool, the thing that was reached for, or the owner of the secret.
        count: The number of times.
        stages: The stages of the agents.
        examples: The first few, one line each; text of the agent's.
    """

    model_config = ConfigDict(frozen=True)

    sort: Category
    what: str
    count: int
    stages: tuple[str, ...]
    examples: tuple[str, ...]


@dataclass
class _Sum:
    count: int = 0
    stages: dict[str, None] = field(default_factory=dict[str, None])
    examples: dict[str, None] = field(default_factory=dict[str, None])


def agent_warnings(events: Iterable[Event]) -> tuple[AgentWarning, ...]:
    """Sum up events of `KINDS`: replaced models first, then refusals, attempts and secrets."""
    sums: dict[tuple[Category, str], _Sum] = {}
    for event in events:
        stage = AttemptId.parse(event.payload["attempt"]).thread
        for sort, what, example in _refusals(event.kind, event.payload):
            total = sums.setdefault((sort, what), _Sum())
            total.count += 1
            total.stages[stage] = None
            if len(total.examples) < _EXAMPLES:
                total.examples[_shortened(example)] = None
    ranked = sorted(sums.items(), key=lambda entry: (_ORDER.index(entry[0][0]), -entry[1].count))
    return tuple(
        AgentWarning(
            sort=sort,
            what=what,
            count=total.count,
            stages=tuple(stage for stage in total.stages if stage),
            examples=tuple(total.examples),
        )
        for (sort, what), total in ranked[:_AT_MOST]
    )


def _refusals(kind: str, payload: Mapping[str, Any]) -> Iterator[tuple[Category, str, str]]:
    if kind == EventKind.MODEL_REPLACED:
        yield "replaced", f"{payload['model']} for {payload['replaced']}", f"turn {payload['turn']}: {payload['why']}"
    elif kind == EventKind.TOOL_DENIED:
        tool = str(payload["tool"])
        yield "denied", tool if tool in _TOOLS else "a tool it does not have", str(payload["subject"] or tool)
    elif kind == EventKind.SANDBOX_ATTEMPTED:
        reached = {str(sign["kind"]): sign for sign in reversed(payload["signs"])}
        if payload["refused"]:
            reached.setdefault("network", {"seen": "command"})
        for what, sign in reached.items():
            where = f" (a file it names says {sign['what']})" if sign["seen"] == "file" else ""
            yield "attempted", what, f"{payload['command']}{where}"
    elif kind == EventKind.SECRET_MASKED:
        for secret in payload["secrets"]:
            yield "masked", f"{secret['kind']} ({secret['digest']})", f"in {payload['where']}"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXAMPLE_CHARACTERS else f"{line[: _EXAMPLE_CHARACTERS - 1]}…"
