"""The rehearsal script: what the model would answer, stage by stage and turn by turn.

`script_file` reads it from YAML, `server` plays it, and `phasegate schema` prints its JSON Schema, so every field
says here what it means to the person who writes a script.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.described import DescribedModel
from phasegate.infra.policy.model import STAGES, StageName

FINISH_TOOL = "finish"
"""Tool by which a stage hands in its result: over the wire, a turn's `finish` is a call of it."""

SCRIPTED_PARTS = ("testing.amending", "testing.characterization")
"""Parts of stages that have turns of their own; every other part is answered by its stage's."""
_STAGE_KEY = rf"^({'|'.join([*STAGES, *map(re.escape, SCRIPTED_PARTS)])})(#[1-9][0-9]*)?$"

FaultKind = Literal["http_429", "http_500", "cut_stream", "malformed_call", "slow"]


def _json_only(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        canonical_json(value)
    except ValueError as error:
        raise ValueError("holds a number that JSON does not have (infinity or not-a-number)") from error
    return value


def _regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


def _stage_key(key: str) -> str:
    if not re.fullmatch(_STAGE_KEY, key):
        keys = ", ".join([*STAGES, *SCRIPTED_PARTS])
        raise ValueError(f"no such stage; write one of {keys}, and #2 after it for its second attempt")
    return key


Arguments = Annotated[dict[str, JsonValue], AfterValidator(_json_only)]
StageKey = Annotated[str, AfterValidator(_stage_key), WithJsonSchema({"type": "string", "pattern": _STAGE_KEY})]


class _Node(DescribedModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ToolUse(_Node):
    """A tool call."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """The tool."""
    args: Arguments = Field(default={})
    """Its arguments."""


class Turn(_Node):
    """An answer of the model: some text, then either tool calls or the stage's result."""

    text: str | None = Field(default=None, min_length=1)
    """What the model says."""
    expect: Annotated[str, AfterValidator(_regex)] | None = None
    """A regular expression that must be found in what this request newly brings (everything after the model's last
    answer; for the first turn everything, instructions included). If it is not, the run stops here."""
    tools: list[ToolUse] | None = Field(default=None, min_length=1)
    """The tools the model calls."""
    finish: Arguments | None = None
    """The stage's result, which ends the stage if it is accepted."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.tools is not None and self.finish is not None:
            raise ValueError("a turn has `tools` or `finish`, not both")
        if self.text is None and self.tools is None and self.finish is None:
            raise ValueError("a turn needs `text`, `tools` or `finish`")
        return self

    def calls(self) -> list[ToolUse]:
        """The tool calls of this turn, `finish` being one."""
        if self.finish is not None:
            return [ToolUse(name=FINISH_TOOL, args=self.finish)]
        return self.tools or []


class Fault(_Node):
    """Something that goes wrong on the way of one turn's answer."""

    stage: StageKey
    """The stage, as under `stages`: `STAGE` (each of its attempts) or `STAGE#2` (its second attempt)."""
    turn: int = Field(ge=1)
    """The turn, counted from 1."""
    kind: FaultKind
    """`http_429`, `http_500`: answered with that status. `cut_stream`: the connection breaks half-way.
    `malformed_call`: the first call's arguments are not JSON. `slow`: the stream rests half-way."""
    times: int = Field(default=1, ge=1, le=100)
    """How often, in each attempt of the stage; the scripted answer follows."""
    seconds: float = Field(default=2.0, ge=0, le=600)
    """How long a `slow` stream rests."""


class Script(_Node):
    """A rehearsal script: scripted answers in place of a model's."""

    version: Literal[1]
    """The script format's version."""
    stages: dict[StageKey, Annotated[list[Turn], Field(min_length=1)]] = Field(
        json_schema_extra={"propertyNames": {"pattern": _STAGE_KEY}}
    )
    """The turns of each stage. `STAGE` serves every attempt that has no `STAGE#N` of its own. `testing.amending`
    decides on what a change asks to amend; `testing.characterization` pins what base does where its tests are thin, and
    without it nothing is pinned."""
    faults: list[Fault] = Field(default=[])
    """What goes wrong on the way, for the run to survive."""

    @model_validator(mode="after")
    def _faults_have_a_turn(self) -> Self:
        for at, fault in enumerate(self.faults):
            stage, _, attempt = fault.stage.partition("#")
            plays = (
                [self.turns(stage, int(attempt))]
                if attempt
                else [turns for key, turns in self.stages.items() if key.partition("#")[0] == stage]
            )
            struck = [turns[fault.turn - 1] for turns in plays if len(turns) >= fault.turn]
            if not struck:
                raise PydanticCustomError("fault", "{stage} has no such turn", {"at": at, "stage": fault.stage})
            if fault.kind == "malformed_call" and not any(turn.calls() for turn in struck):
                raise PydanticCustomError(
                    "fault", "that turn of {stage} calls nothing", {"at": at, "stage": fault.stage}
                )
        return self

    def turns(self, stage: StageName | str, attempt: int) -> list[Turn]:
        """The turns of one attempt of a stage, or an empty list if the script has none."""
        return self.stages.get(f"{stage}#{attempt}") or self.stages.get(stage) or []

    def faults_at(self, stage: str, attempt: int, turn: int) -> list[tuple[int, Fault]]:
        """The faults of one turn, each with its place in the list of faults."""
        keys = {stage, f"{stage}#{attempt}"}
        return [(at, fault) for at, fault in enumerate(self.faults) if fault.turn == turn and fault.stage in keys]

    @property
    def digest(self) -> str:
        """`sha256:…` of the script's content, whatever its spelling in YAML."""
        return sha256(canonical_json(self.model_dump(mode="json")))
