"""Checkpoints of a run, and the plan of a rewind to one of them.

It only reads the ledger. The doors ask it before they request a rewind, and `lifecycle.rewind`, which performs it, asks
again. A checkpoint is a position in the run's chain of events. Its number is its rank there, so it never changes. A
checkpoint that a rewind discarded keeps its number, but the run can no longer go back to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from phasegate.infra.errors import NotAllowed, NotFound
from phasegate.infra.ledger import Attempt, Effect, Event, Ledger, Run
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.ledger.events import EventKind

_TURNS_PER_ATTEMPT = 100_000
"""More turns than any attempt has: keeps the checkpoints of one attempt before those of the next."""


def checkpoint_number(attempt: int, turn: int) -> int:
    """Number of a turn's commit under `refs/phasegate/<run>/implementation/`."""
    return attempt * _TURNS_PER_ATTEMPT + turn


@dataclass(frozen=True)
class Checkpoint:
    """Checkpoint of a run.

    Attributes:
        id: Its number, from 1.
        kind: The thing that ended there: nothing yet, a turn of the implementation, a stage's attempt, a gate.
        what: The attempt's id, or the gate's name and verdict.
        position: The position of its event in the chain.
        at: Its time.
        commit: The commit with the workspace's files of that moment, untracked ones too.
        ref: The ref of that commit; empty for the base commit.
        turn: The turn, for a turn.
        discarded: The number of the rewind that discarded it, from 1; 0 if the run can go back to it.
    """

    id: int
    kind: Literal["start", "turn", "stage", "gate"]
    what: str
    position: int
    at: datetime
    commit: str
    ref: str = ""
    turn: int = 0
    discarded: int = 0

    def document(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {**vars(self), "at": self.at.isoformat()}


@dataclass(frozen=True)
class RewindPlan:
    """Consequences of going back to a checkpoint.

    Attributes:
        checkpoint: The checkpoint.
        attempts: Ids of the attempts that no longer count.
        gates: Ids of the gates that are asked again.
        effects: Effects to undo, made since, oldest first.
        source: The implementation that was under way at that moment; its conversation continues in a new attempt.
        turn: The last turn it had finished by then; 0 if none, so that it starts over.
    """

    checkpoint: Checkpoint
    attempts: Sequence[str]
    gates: Sequence[str]
    effects: Sequence[Effect]
    source: str = ""
    turn: int = 0


def checkpoints(ledger: Ledger, run: Run) -> list[Checkpoint]:
    """The checkpoints of a run, oldest first."""
    return _History.of(ledger, run).numbered()


def plan_rewind(ledger: Ledger, run: Run, checkpoint: int) -> RewindPlan:
    """Plan a rewind to a checkpoint.

    Raises:
        NotFound: The run has no such checkpoint.
        NotAllowed: It was discarded itself, or an effect made since cannot be undone.
    """
    history = _History.of(ledger, run)
    target = next((other for other in history.numbered() if other.id == checkpoint), None)
    if target is None:
        raise NotFound(f"run {run.id} has no checkpoint {checkpoint}", remedy=f"See `phasegate checkpoints {run.id}`.")
    if target.discarded:
        raise NotAllowed(
            f"checkpoint {checkpoint} of run {run.id} was thrown away by rewind {target.discarded}",
            remedy=f"Its files are kept under refs/phasegate/{run.id}/rewound/{target.discarded}/.",
        )
    attempts = ledger.attempts.list(run.id)
    source = history.under_way(attempts, target.position)
    return RewindPlan(
        target,
        history.attempts_since(attempts, target.position),
        history.gates_since(ledger, target.position),
        _effects_since(ledger, history, target),
        "" if source is None else source.id,
        0 if source is None else history.turn_of(source.id, target.position),
    )


def request_rewind(ledger: Ledger, run: Run, checkpoint: int, *, actor: str, signature: str = "") -> RewindPlan:
    """Record a person's request to rewind a run; the engine carries it out.

    Raises:
        NotFound, NotAllowed: As `plan_rewind` and `Rewinds.ask` say.
    """
    ledger.rewinds.require_standing_still(run)
    planned = plan_rewind(ledger, run, checkpoint)
    ledger.rewinds.ask(run.id, checkpoint, actor=actor, signature=signature)
    return planned


def _effects_since(ledger: Ledger, history: _History, target: Checkpoint) -> list[Effect]:
    effects = ledger.effects.list(history.run.id)
    standing = [effect for effect in effects if not (effect.superseded or effect.called_off)]
    since = [effect for effect in standing if history.created_at[f"effects/{effect.id}"] > target.position]
    if any(effect.kind in {"weight", "cut-over"} for effect in since):
        for effect in standing:
            if effect.kind == "candidate" and effect not in since:  # it has lost its share, or its end came with that
                raise NotAllowed(
                    f"at checkpoint {target.id} the release was on its way",
                    remedy="Choose a checkpoint from before its candidate was started, or one from after it served.",
                )
    for effect in standing:
        if effect not in since and effect.status in {"undone", "stuck"}:
            raise NotAllowed(
                f"{effect.kind}, made before checkpoint {target.id}, is {effect.status}",
                remedy="Choose a checkpoint from before it was made.",
            )
    for effect in since:
        if effect.effect_class == "pivot" and effect.status != "undone":
            raise NotAllowed(
                f"{effect.kind}, made after checkpoint {target.id}, cannot be undone ({effect.compensation})",
                remedy="Choose a checkpoint from after it, or go forward with a new run.",
            )
    return since


@dataclass
class _History:
    """A run's events in their order, read once."""

    run: Run
    created_at: dict[str, int] = field(default_factory=dict[str, int])
    finished: dict[str, int] = field(default_factory=dict[str, int])
    decided: dict[str, int] = field(default_factory=dict[str, int])
    rewinds: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    checkpoints: list[Checkpoint] = field(default_factory=list[Checkpoint])
    turns: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    asked: dict[str, int] = field(default_factory=dict[str, int])
    gate_names: dict[str, str] = field(default_factory=dict[str, str])
    seeds: dict[str, int] = field(default_factory=dict[str, int])
    commit: str = ""
    refs: dict[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, ledger: Ledger, run: Run) -> _History:
        history = cls(run, commit=run.base_commit)
        for event in ledger.events(run.id):
            history._read(event)
        return history

    def numbered(self) -> list[Checkpoint]:
        """The checkpoints, each with the rewind that threw it away."""

        def discarded(position: int) -> int:
            over = (number for number, (to, by) in enumerate(self.rewinds, start=1) if to < position < by)
            return next(over, 0)

        return [replace(moment, discarded=discarded(moment.position)) for moment in self.checkpoints]

    def under_way(self, attempts: Sequence[Attempt], position: int) -> Attempt | None:
        """The implementation that had begun and not finished at a moment."""
        for attempt in attempts:
            ended = self.finished.get(attempt.id, position + 1) <= position
            taken_back = attempt.superseded and self.rewinds[attempt.superseded - 1][1] <= position
            if attempt.stage == "implementation" and self._was_there(attempt, position) and not ended | taken_back:
                return attempt
        return None

    def attempts_since(self, attempts: Sequence[Attempt], position: int) -> list[str]:
        """The attempts that had not finished by then; sealed tests, made from the PRD alone, stand while it does."""
        standing = [attempt for attempt in attempts if not attempt.superseded]
        done = [attempt for attempt in standing if self.finished.get(attempt.id, position + 1) <= position]
        artifacts = {attempt.artifact for attempt in done}
        remaining = {attempt.id for attempt in done} | {
            attempt.id for attempt in standing if attempt.part == "authoring" and attempt.inputs.get("prd") in artifacts
        }
        return [attempt.id for attempt in standing if attempt.id not in remaining]

    def gates_since(self, ledger: Ledger, position: int) -> list[str]:
        """The gates that were opened or decided after a moment."""
        return [
            gate.id
            for gate in ledger.gates.list(self.run.id)
            if gate.status not in {"void", "expired"}
            and max(self.created_at[f"gates/{gate.id}"], self.decided.get(gate.id, 0)) > position
        ]

    def turn_of(self, attempt: str, position: int) -> int:
        """The last turn that an attempt had finished at a moment, inherited turns included."""
        own = [
            turn
            for (name, turn), at in self.turns.items()
            if name == attempt and self.checkpoints[at].position <= position
        ]
        return max(own, default=self.seeds.get(attempt, 0))

    def _was_there(self, attempt: Attempt, position: int) -> bool:
        return self.created_at[f"attempts/{attempt.id}"] <= position

    def _index(self, event: Event) -> None:
        """Remember each row's first event, the gates' names, and the turn that a model answered last."""
        for row in event.payload["rows"]:
            self.created_at.setdefault(row, event.position)
            if event.kind == EventKind.GATE_OPENED:
                self.gate_names[row.removeprefix("gates/")] = event.payload["gate"]
        if event.kind == EventKind.TURN_ANSWERED:
            self.asked[event.payload["attempt"]] = event.payload["turn"]

    def _read(self, event: Event) -> None:
        self._index(event)
        payload = event.payload
        attempt = str(payload.get("attempt", ""))
        match event.kind:
            case EventKind.RUN_ACCEPTED:
                self._add(event, "start", "the run was accepted")
            case EventKind.TOOLS_ANSWERED if AttemptId.parse(attempt).stage == "implementation":
                self._add_turn(event, attempt, payload["turn"])
            case EventKind.ATTEMPT_CHECKPOINTED:
                self._move_commit(event, attempt, payload["commit"])
            case EventKind.ATTEMPT_FINISHED | EventKind.ATTEMPT_ADOPTED:
                self.finished[attempt] = event.position
                self._add(event, "stage", AttemptId.parse(attempt).within_run)
            case EventKind.GATE_DECIDED | EventKind.GATE_OVERRIDDEN | EventKind.GATE_OUTDATED:
                self.decided[payload["gate"]] = event.position
                if "verdict" in payload and f"gates/{payload['gate']}" in payload["rows"]:  # this decision concluded it
                    name = self.gate_names.get(payload["gate"], "")
                    self._add(event, "gate", f"{name} {payload['verdict']} by {event.actor}".strip())
            case EventKind.RUN_REWOUND:
                self.rewinds.append((payload["position"], event.position))
                self.commit = payload["commit"]
                if payload["continued"]:
                    self.seeds[payload["continued"]] = payload["turn"]
            case _:
                pass

    def _add(self, event: Event, kind: Literal["start", "turn", "stage", "gate"], what: str, turn: int = 0) -> None:
        number, ref = len(self.checkpoints) + 1, self.refs.get(self.commit, "")
        self.checkpoints.append(Checkpoint(number, kind, what, event.position, event.at, self.commit, ref, turn))

    def _add_turn(self, event: Event, attempt: str, turn: int) -> None:
        if (checkpoint := self.turns.get((attempt, turn))) is not None:  # its tools ran again after a crash
            self.checkpoints[checkpoint] = replace(self.checkpoints[checkpoint], position=event.position)
            return
        self.turns[attempt, turn] = len(self.checkpoints)
        self._add(event, "turn", AttemptId.parse(attempt).within_run, turn)

    def _move_commit(self, event: Event, attempt: str, commit: str) -> None:
        """Give a commit to the turn that made it, which is the last that a model answered.

        The answers of its tools are recorded after the commit; earlier versions recorded them before it.
        """
        self.commit, turn = commit, self.asked.get(attempt, 0)
        number = checkpoint_number(AttemptId.parse(attempt).number, turn)
        self.refs.setdefault(commit, f"refs/phasegate/{self.run.id}/implementation/{number}")
        if (at := self.turns.get((attempt, turn))) is None:
            return
        self.checkpoints[at] = replace(
            self.checkpoints[at], position=event.position, commit=commit, ref=self.refs[commit]
        )
