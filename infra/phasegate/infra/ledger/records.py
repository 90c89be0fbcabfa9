"""Rows of the ledger as the rest of the house sees them: frozen, typed, JSON-able."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from phasegate.infra.ledger.attempt_id import AttemptId

RunStatus = Literal[
    "accepted",
    "running",
    "waiting",
    "paused",
    "done",
    "failed",
    "rejected",
    "cancelled",
    "rolled-back",
    "needs-operator",
]
AttemptStatus = Literal["running", "finished", "failed"]
GateStatus = Literal["open", "approved", "revised", "rejected", "void", "expired", "outdated"]
Verdict = Literal["approve", "revise", "reject"]
EffectClass = Literal["reversible", "compensable", "pivot"]
EffectStatus = Literal["intended", "done", "undone", "stuck"]

ENDED: frozenset[str] = frozenset({"done", "rejected", "cancelled", "rolled-back"})
"""Statuses that a run never leaves."""
STOPPED: frozenset[str] = ENDED | {"failed", "needs-operator"}
"""Statuses in which nothing happens until a person acts."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class RunOptions(BaseModel):
    """Choices of the requester for one run.

    Attributes:
        model: `provider:model` for every stage, over the policy's; empty: the policy's.
        rehearsal: The digest of the rehearsal script's stored text; empty: real models.
        approve: Gates the requester approved in advance, with their standing decision.
        notices: What the requester was told at the start, such as uncommitted changes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = ""
    rehearsal: str = ""
    approve: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


class Origin(BaseModel):
    """The run a run goes back to.

    Attributes:
        run: The earlier run's id.
        stage: From this stage on everything is done again; for a rehearsal, the first.
        mode: `replay` works again from that stage on; `rehearse` asks whether the earlier run would be the same today.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    run: str
    stage: str = Field(validation_alias=AliasChoices("from", "stage"), serialization_alias="from")
    mode: Literal["replay", "rehearse"]

    @property
    def is_rehearsal(self) -> bool:
        """True if the run only asks whether the earlier one would be the same today."""
        return self.mode == "rehearse"


def rehearsed_run(origin: Mapping[str, Any] | None) -> str | None:
    """Id of the run that a run with this stored origin rehearses; `None` if it works for itself."""
    return str(origin["run"]) if origin is not None and origin["mode"] == "rehearse" else None


class Run(_Record):
    """Run: one ticket on its way through the stages. `ticket` and `policy` are artifact digests."""

    id: str
    title: str
    ticket: str
    policy: str
    repository: str
    base_branch: str
    base_commit: str
    requester: str
    options: RunOptions
    definition: str
    origin: Origin | None
    status: RunStatus
    request: Literal["", "pause", "cancel", "rollback", "rewind"]
    reason: dict[str, Any] | None
    wake_at: datetime | None = None
    flow_run_id: str | None
    recoveries: int
    grants: int
    created_at: datetime
    finished_at: datetime | None

    @property
    def rehearsed_run(self) -> str | None:
        """Id of the run that this one rehearses; `None` if it works for itself."""
        return self.origin.run if self.origin is not None and self.origin.is_rehearsal else None


class Attempt(_Record):
    """Attempt at a stage, or at one part of a stage: its inputs' digests, and how it ended.

    `origin` is the attempt of an earlier run it was adopted from; empty: this run worked on it itself.
    `superseded` is the rewind that threw it away, from 1; 0: it stands.
    """

    id: str
    run_id: str
    stage: str
    part: str
    number: int
    key: str
    inputs: dict[str, str]
    model: str
    prompt: str
    status: AttemptStatus
    artifact: str | None
    checkpoint: str | None
    origin: str
    error: dict[str, Any] | None
    superseded: int = 0
    started_at: datetime
    finished_at: datetime | None

    def id_in(self, run_id: str) -> str:
        """The id of the same attempt in another run, such as the original of a rehearsed one."""
        return str(AttemptId.parse(self.id).in_run(run_id))

    def has_finished_from(self, key: str) -> bool:
        """True if it has made its artifact from the inputs that this key stands for."""
        return self.status == "finished" and self.key == key


class Gate(_Record):
    """A question to a person about exactly one set of digests."""

    id: str
    run_id: str
    gate: str
    number: int
    subject: dict[str, str]
    subject_digest: str
    roles: tuple[str, ...]
    quorum: int
    exclude_requester: bool
    requester: str
    nonce: str
    status: GateStatus
    opened_at: datetime
    expires_at: datetime


KEEP_TESTS = "--keep-tests"
"""Said among the tests of an approval of gate `change`: the characterization tests go in with the change."""


class Decision(_Record):
    """A person's answer to one gate.

    `standing`: given in advance, by the requester, with `--approve`. `override`: given against the gate's rules, by an
    admin. `signature`: over the canonical decision, where identity is `ssh`. `for_stage`: a permission that holds
    for the rest of the stage, and not only for the one call that was asked about. `tests`: at gate `change`, the
    regressions that an approval accepts, or the amendments that a revision strikes; `KEEP_TESTS` is no test's name.
    """

    id: str
    run_id: str
    gate_id: str
    subject_digest: str
    verdict: Verdict
    approver: str
    identity: str
    standing: bool
    override: bool = False
    note: str
    signature: str = ""
    for_stage: bool = False
    tests: tuple[str, ...] = ()
    decided_at: datetime

    @property
    def named(self) -> tuple[str, ...]:
        """The tests that it names."""
        return tuple(test for test in self.tests if test != KEEP_TESTS)

    @property
    def keeps_tests(self) -> bool:
        """True if it is an approval that lets the characterization tests go in with the change."""
        return self.verdict == "approve" and KEEP_TESTS in self.tests


CALLED_OFF = "called_off"
"""Key of the reason, in the result of undoing an effect that was never made."""


class Effect(_Record):
    """A side effect on the world: recorded before it is made, with what undoes it.

    `superseded` is the rewind that undid it, from 1: it may be made again, under another key.
    """

    id: str
    run_id: str
    position: int
    kind: str
    key: str
    intent: dict[str, Any]
    effect_class: EffectClass
    compensation: str
    status: EffectStatus
    result: dict[str, Any] | None
    undo_result: dict[str, Any] | None
    superseded: int = 0
    intended_at: datetime
    done_at: datetime | None
    undone_at: datetime | None

    @property
    def called_off(self) -> bool:
        """True if it was never made, since the world had changed by then: it may be made again, under another key."""
        return self.status == "undone" and bool((self.undo_result or {}).get(CALLED_OFF))


class Message(_Record):
    """A person's message to a running agent, with its receipt.

    `attempt_id`: whose agent read it; until then, whose it is for: None: the next that begins. `urgent`: what the agent
    was in the middle of was dropped for it.
    """

    id: str
    run_id: str
    sender: str
    text: str
    status: Literal["queued", "delivered", "expired"]
    attempt_id: str | None
    turn: int | None
    queued_at: datetime
    delivered_at: datetime | None
    urgent: bool = False


class Question(_Record):
    """Question of an agent to the person in charge. `answer` is `None` while it is open."""

    id: str
    run_id: str
    attempt_id: str
    turn: int
    text: str
    answer: str | None
    answered_by: str
    asked_at: datetime
    answered_at: datetime | None


class Exchange(_Record):
    """Model call: the reply in phasegate's format, its usage and its price. Latency in seconds, cost in US dollars."""

    id: str
    run_id: str
    attempt_id: str
    turn: int
    model: str
    request_digest: str
    reply: dict[str, Any]
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_usd: float | None
    latency_seconds: float
    at: datetime


class Usage(BaseModel):
    """Total usage of model calls. `cost_usd` adds up the calls whose price is known; `unpriced` counts the others."""

    model_config = ConfigDict(frozen=True)

    turns: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens


class Event(_Record):
    """Event of a run: a row of the chain."""

    run_id: str
    position: int
    at: datetime
    kind: str
    actor: str
    payload: dict[str, Any]
    hash: str


class Lease(_Record):
    """The right to work on something for a while. A later holder's `token` is higher: it fences the earlier one off."""

    id: str
    run_id: str
    holder: str
    token: int
    expires_at: datetime
    released_at: datetime | None = None
