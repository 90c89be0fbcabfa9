"""A run as one document: everything the ledger knows about it, in the shape `show --json` prints.

Made for both doors (command line and console) and for the demo's story. A pure function of the ledger: it knows neither
terminal nor engine, and the same rows always give the same document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from phasegate.flows.runs.interrupts import QUESTIONS
from phasegate.flows.runs.reversibility import adopted_effects
from phasegate.flows.views.agent_warnings import KINDS, AgentWarning, agent_warnings
from phasegate.flows.views.pending import Pending
from phasegate.flows.views.progress import RolloutProgress, progress_of
from phasegate.infra.ledger import (
    STOPPED,
    Attempt,
    Decision,
    Effect,
    Event,
    Gate,
    Ledger,
    Message,
    Origin,
    Question,
    Run,
    RunOptions,
    RunStatus,
    Usage,
)
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.policy.gates import GATES, INTERRUPT_GATES

EXIT_CODES: Mapping[RunStatus, int | None] = {
    "accepted": None,
    "running": None,
    "waiting": 3,
    "paused": 5,
    "done": 0,
    "failed": 1,
    "rejected": 1,
    "cancelled": 1,
    "rolled-back": 4,
    "needs-operator": 5,
}
"""Exit code of a command that follows a run, by the run's status; None while the run continues."""


_SMALL_KINDS = frozenset(kind.kind for kind in QUESTIONS.values())


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class ArtifactReport(_Part):
    """Artifact of an attempt, or input of a run."""

    digest: str
    kind: str
    content: dict[str, Any]


class UsageReport(_Part):
    """Tokens and money. `cost_usd` is None when no call's price is known; `unpriced` counts the calls without one."""

    turns: int
    tokens: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_usd: float | None
    unpriced: int


class StageReport(_Part):
    """Attempt of a stage or of a part of one; `origin` is the earlier run's attempt it was adopted from.

    `models` are the first model and those that took over from it.
    """

    id: str
    stage: str
    part: str
    attempt: int
    status: str
    model: str
    models: tuple[str, ...]
    artifact: ArtifactReport | None
    checkpoint: str | None
    usage: UsageReport
    error: dict[str, Any] | None
    superseded: int
    origin: str
    started_at: datetime
    finished_at: datetime | None


class GateOff(_Part):
    """A gate that policy skips, with the reason it gives."""

    gate: str
    reason: str


class ReleaseReport(_Part):
    """Address of the run's release; `current` is true until it is undone."""

    url: str
    current: bool


class RunReport(_Part):
    """Complete report of a run."""

    id: str
    title: str
    status: RunStatus
    exit_code: int | None
    reason: dict[str, Any] | None
    request: str
    repository: str
    base_branch: str
    base_commit: str
    requester: str
    options: RunOptions
    definition: str
    origin: Origin | None
    flow_run_id: str | None
    recoveries: int
    created_at: datetime
    finished_at: datetime | None
    ticket: ArtifactReport
    policy: str
    sandbox: str
    integrates: bool = True
    gates_off: tuple[GateOff, ...]
    cautions: tuple[AgentWarning, ...]
    stages: tuple[StageReport, ...]
    gates: tuple[Gate, ...]
    decisions: tuple[Decision, ...]
    effects: tuple[Effect, ...]
    adopted: tuple[Effect, ...] = ()
    messages: tuple[Message, ...]
    questions: tuple[Question, ...]
    asked: tuple[ArtifactReport, ...]
    usage: UsageReport
    exchanges: int
    release: ReleaseReport | None
    progress: RolloutProgress | None

    @property
    def open_gate(self) -> Gate | None:
        """The gate a person is asked about, if the run waits for one."""
        return next((gate for gate in reversed(self.gates) if gate.status == "open"), None)

    def artifacts_of(self, gate: Gate) -> list[ArtifactReport]:
        """Artifacts that a gate asks about, in the order in which they were made."""
        digests = set(gate.subject.values())
        artifacts = [*(stage.artifact for stage in self.stages), *self.asked]
        subjects = {artifact.digest: artifact for artifact in artifacts if artifact and artifact.digest in digests}
        return list(subjects.values())

    @property
    def pending(self) -> Pending:
        """The wait of the run for a person."""
        gates = tuple(gate for gate in self.gates if gate.status == "open" and self.status == "waiting")
        return Pending(gates, self.decisions, self.status == "waiting" and self.open_question is not None)

    @property
    def open_question(self) -> Question | None:
        """The question that the next answer is for, if an agent waits for one."""
        is_over = self.status in STOPPED and self.status not in {"failed", "needs-operator"}
        return None if is_over else next((question for question in self.questions if question.answer is None), None)

    def latest(self, kind: str) -> ArtifactReport | None:
        """The newest artifact of a kind, if any attempt made one."""
        artifacts = [stage.artifact for stage in self.stages if stage.artifact and not stage.superseded]
        return next((artifact for artifact in reversed(artifacts) if artifact.kind == kind), None)

    def document(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return self.model_dump(mode="json")


def report(ledger: Ledger, run_id: str) -> RunReport:
    """Everything the ledger knows about a run.

    Raises:
        NotFound: There is no run with this id.
    """
    run = ledger.runs.get(run_id)
    policy = _policy(ledger, run)
    attempts = ledger.attempts.list(run_id)
    replaced = [_replacements(ledger, attempt) for attempt in attempts]
    stages = tuple(_stage(ledger, attempt, events) for attempt, events in zip(attempts, replaced, strict=True))
    adopted = [event for attempt, events in zip(attempts, replaced, strict=True) if attempt.origin for event in events]
    effects = tuple(ledger.effects.list(run_id))
    gates = tuple(ledger.gates.list(run_id))
    usage = ledger.exchanges.usage(run_id)
    return RunReport(
        **run.model_dump(exclude={"ticket", "policy", "options", "grants"}),
        options=run.options,
        exit_code=EXIT_CODES[run.status],
        ticket=_artifact(ledger, run.ticket),
        policy=run.policy,
        sandbox=str(policy.get("sandbox", {}).get("backend", "")),
        integrates=policy.get("project", {}).get("integrate", "merge") == "merge",
        gates_off=_gates_off(policy),
        cautions=agent_warnings([*adopted, *ledger.events(run_id, kinds=KINDS)]),
        stages=stages,
        gates=gates,
        decisions=tuple(ledger.gates.decisions(run_id)),
        effects=effects,
        adopted=tuple(adopted_effects(ledger, run_id)),
        messages=tuple(ledger.messages.list(run_id)),
        questions=tuple(ledger.questions.list(run_id)),
        asked=_asked(ledger, gates),
        usage=usage_report(usage),
        exchanges=usage.turns,
        release=_release(effects),
        progress=progress_of(ledger, run),
    )


def usage_report(usage: Usage) -> UsageReport:
    """Tokens and money as people read them."""
    priced = usage.turns > usage.unpriced
    return UsageReport(
        turns=usage.turns,
        tokens=usage.tokens,
        input_tokens=usage.input_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=usage.cost_usd if priced or not usage.turns else None,
        unpriced=usage.unpriced,
    )


def _artifact(ledger: Ledger, digest: str) -> ArtifactReport:
    content = ledger.artifacts.json(digest)
    return ArtifactReport(digest=digest, kind=str(content.pop("kind", "")), content=content)


def _asked(ledger: Ledger, gates: tuple[Gate, ...]) -> tuple[ArtifactReport, ...]:
    """Subjects of interrupt gates, which no attempt has made."""
    small = [gate for gate in gates if gate.gate in INTERRUPT_GATES]
    digests = (digest for gate in small for kind, digest in gate.subject.items() if kind in _SMALL_KINDS)
    return tuple(_artifact(ledger, digest) for digest in digests)


def _replacements(ledger: Ledger, attempt: Attempt) -> list[Event]:
    """Events of models that took over in an attempt, or in the earlier one that it was adopted from."""
    source = attempt
    while source.origin and (earlier := ledger.attempts.find(source.origin)) is not None:
        source = earlier
    events = ledger.events(source.run_id, kinds=(EventKind.MODEL_REPLACED,))
    return [event for event in events if event.payload["attempt"] == source.id]


def _stage(ledger: Ledger, attempt: Attempt, replaced: Sequence[Event]) -> StageReport:
    followers = [str(event.payload["model"]) for event in replaced]
    return StageReport(
        **attempt.model_dump(include=set(StageReport.model_fields) - {"artifact", "usage", "attempt", "models"}),
        models=tuple(dict.fromkeys((attempt.model, *followers))),
        attempt=attempt.number,
        artifact=None if attempt.artifact is None else _artifact(ledger, attempt.artifact),
        usage=usage_report(ledger.exchanges.usage(attempt.run_id, attempt_id=attempt.id)),
    )


def _policy(ledger: Ledger, run: Run) -> dict[str, Any]:
    content = ledger.artifacts.json(run.policy)
    nested = content.get("policy", content)
    policy: dict[str, Any] = json.loads(nested) if isinstance(nested, str) else nested
    return policy


def _gates_off(policy: dict[str, Any]) -> tuple[GateOff, ...]:
    gates = policy.get("gates", {})
    return tuple(GateOff(gate=name, reason=gates[name]["reason"]) for name in GATES if gates.get(name, {}).get("off"))


def _release(effects: tuple[Effect, ...]) -> ReleaseReport | None:
    for effect in reversed(effects):
        if effect.kind == "cut-over" and effect.result is not None:
            return ReleaseReport(url=str(effect.result["url"]), current=effect.status == "done")
    return None
