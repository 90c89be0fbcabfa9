"""Payloads of events: the facts that an event of each kind carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict


class Nothing(TypedDict):
    """No facts of its own."""


class RunAccepted(TypedDict):
    """The run's beginning; `origin` is the run that it repeats or continues; the requester's signature over that."""

    title: str
    base_commit: str
    notices: list[str]
    origin: NotRequired[dict[str, Any]]
    signature: NotRequired[str]


class RunTaken(TypedDict):
    """The lease: its holder, its fencing token, and the holder before."""

    holder: str
    token: int
    after: str | None


RunStatusChanged = TypedDict(
    "RunStatusChanged", {"from": str, "reason": dict[str, Any] | None, "expired": NotRequired[list[str]]}
)
"""The status before and the reason; `expired` names messages that nobody will read any more."""


class CommandGiven(TypedDict):
    """No facts of its own; `signature` over the canonical command, where identity is `ssh`."""

    signature: NotRequired[str]


class RewindRequested(TypedDict):
    """The checkpoint's number; `why` where the engine asked; the person's signature, where identity is `ssh`."""

    checkpoint: int
    why: NotRequired[str]
    signature: NotRequired[str]


class RunRewound(TypedDict):
    """The rewind's number and where the run stands: event position, commit; `source` keeps the commit left behind."""

    number: int
    checkpoint: int
    position: int
    commit: str
    source: str
    continued: str
    turn: int
    kept: list[str]


class RollbackBegan(TypedDict):
    """The status and reason with which the run ends."""

    status: str
    reason: dict[str, Any] | None


class WriteRefused(TypedDict):
    """The late engine's write, its name and token, and the engine that holds the run."""

    kind: str
    late: str
    token: int
    holder: str | None


class AttemptStarted(TypedDict):
    """The attempt and digests of its inputs; `again` after a crash; the lease's fencing token."""

    attempt: str
    inputs: dict[str, Any]
    again: bool
    token: int


AttemptAdopted = TypedDict("AttemptAdopted", {"attempt": str, "from": str, "artifact": str | None})
"""The attempt, the original attempt, and its artifact's digest."""


class AttemptFinished(TypedDict):
    """The attempt, its artifact's digest and kind; `expired` names messages that came too late."""

    attempt: str
    artifact: str
    kind: str
    expired: NotRequired[list[str]]


class AttemptFailed(TypedDict):
    """The attempt and its error: code, message, remedy."""

    attempt: str
    error: dict[str, Any]


class AttemptCheckpointed(TypedDict):
    """The attempt and the commit of its worktree."""

    attempt: str
    commit: str


StageObserved = TypedDict("StageObserved", {"stage": str, "name": str, "value": Any, "from": NotRequired[str]})
"""The observation's name and JSON value; `from` is the earlier run that it was taken from."""


class StageStep(TypedDict):
    """A line of text; `progress` has the figures of a rollout."""

    stage: str
    text: str
    progress: NotRequired[dict[str, Any]]


class TurnAnswered(TypedDict):
    """The turn's number, the answer's text, the tool calls and the model; `stop` if the answer was cut or refused."""

    attempt: str
    turn: int
    text: str
    calls: list[dict[str, Any]]
    model: str
    stop: NotRequired[str]


class ModelReplaced(TypedDict):
    """The model that answers from this turn on, the one it replaces, and why: an error's code and its message."""

    attempt: str
    turn: int
    model: str
    replaced: str
    code: str
    why: str


class TurnCut(TypedDict):
    """The turn's number and an estimate of its tokens, since no provider tells them."""

    attempt: str
    turn: int
    usage: str
    estimate: dict[str, int]


class ToolsAnswered(TypedDict):
    """The turn's number and, for each call, the tool's name, its output in short, and if it failed."""

    attempt: str
    turn: int
    results: Sequence[Mapping[str, Any]]


class ThreadCompacted(TypedDict):
    """The turn and the number of messages that are left out."""

    attempt: str
    turn: int
    messages: int


class ToolRefusal(TypedDict):
    """The tool, what it was to work on, and the reason."""

    attempt: str
    tool: str
    subject: str
    reason: str


class SandboxAttempted(TypedDict):
    """The command, the signs of what it tried, the addresses it was refused, and its exit code."""

    attempt: str
    command: str
    signs: list[dict[str, Any]]
    refused: list[str]
    exit_code: int


class SecretMasked(TypedDict):
    """The place of the secrets, and each one's kind and short digest."""

    attempt: str
    where: str
    secrets: list[dict[str, str]]


class AgentQuestion(TypedDict):
    """The question's id and text."""

    question: str
    text: str


class QuestionAnswered(TypedDict):
    """The question's id and the answer; the person's signature, where identity is `ssh`."""

    question: str
    text: str
    signature: NotRequired[str]


class MessageQueued(TypedDict):
    """The message; `attempt` where it is for one agent and not for the next; the signature, where identity is `ssh`."""

    message: str
    text: str
    urgent: bool
    attempt: NotRequired[str]
    signature: NotRequired[str]


class MessageDelivered(TypedDict):
    """The attempt, the turn whose request carries the messages, and their ids."""

    attempt: str
    turn: int
    messages: list[str]


class GatePrepared(TypedDict):
    """The gate's name and the digest of its page."""

    gate: str
    artifact: str


class GateOpened(TypedDict):
    """The gate's name, the round, and the digests of its subject."""

    gate: str
    number: int
    subject: dict[str, Any]


class GateDecided(TypedDict):
    """The gate's id, the verdict, the note, the digest of the subject; standing decisions; tests to keep."""

    gate: str
    verdict: str
    note: str
    standing: bool
    subject: str
    for_stage: NotRequired[bool]
    tests: NotRequired[list[str]]


class GateSkipped(TypedDict):
    """The gate's name, the round, and policy's reason."""

    gate: str
    number: int
    reason: str


GateCarried = TypedDict("GateCarried", {"gate": str, "from": str, "verdict": str})
"""The gate's id, the earlier gate's id, and its verdict."""


class GateRehearsed(TypedDict):
    """The gate's name, the round, the verdict, and the recorded decision's id."""

    gate: str
    number: int
    verdict: str
    decision: str


class GateOutdated(TypedDict):
    """The gate's id and the reason."""

    gate: str
    why: str


class GateClosed(TypedDict):
    """The gate's id."""

    gate: str


class GateShown(TypedDict):
    """The gate's id and name, and the digest of its subject."""

    gate: str
    name: str
    subject: str


class GateRefused(TypedDict):
    """The gate's id and name, and the reason."""

    gate: str
    name: str
    why: str


class DecisionRefused(TypedDict):
    """The gate, the reason, and the decision as far as it is known."""

    gate: str
    name: str
    why: str
    verdict: NotRequired[str]
    by: NotRequired[str]
    decision: NotRequired[str]


class CommandRefused(TypedDict):
    """The command and the reason; who gave it, its event's position, the message or question, as far as known."""

    command: str
    why: str
    by: NotRequired[str]
    event: NotRequired[int]
    row: NotRequired[str]


class StateRefused(TypedDict):
    """The gate, Prefect's state and its id, and the reason."""

    gate: str
    name: str
    state: str
    id: str
    why: str


class ApprovalMoved(TypedDict):
    """The gate, digests of what was approved and of the new evidence, the branch's head, and the patch."""

    gate: str
    name: str
    approved: str
    evidence: str
    head: str
    why: str
    patch_id: str
    tree: str


class EffectIntended(TypedDict):
    """The effect's key and kind, its arguments, and the sentence that says how it is undone."""

    effect: str
    kind: str
    intent: dict[str, Any]
    compensation: str


class EffectSettled(TypedDict):
    """The effect's key and the performer's result."""

    effect: str
    result: dict[str, Any]


class EffectStuck(TypedDict):
    """The effect's key and the error."""

    effect: str
    error: dict[str, Any]


class EffectAdopted(TypedDict):
    """The effect's key and kind."""

    effect: str
    kind: str


class EffectRehearsed(TypedDict):
    """The effect's key and kind, and how it would be undone."""

    effect: str
    kind: str
    compensation: str


class RehearsalDeparture(TypedDict):
    """The attempt and turn, the reason, and the difference between the requests."""

    attempt: str
    turn: int
    why: str
    diff: str
