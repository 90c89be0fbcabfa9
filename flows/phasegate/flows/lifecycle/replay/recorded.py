"""Recorded source: the record of an earlier run answers today's pipeline, and nothing is performed.

A rehearsal ends where the record ends. Its outcome tells if it was the same up to there. A rehearsal opens no gate and
intends no effect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from typing_extensions import override

from phasegate.agents.loop import Budget, NoBudget
from phasegate.flows.lifecycle.facts import RunFacts
from phasegate.flows.lifecycle.intent import Intent
from phasegate.flows.lifecycle.replay.source import DraftCheck, RunSource, effect_name, observation_names
from phasegate.flows.lifecycle.signals import Breached, RecordingExhausted, Rejected, SubjectStale
from phasegate.flows.runs.reversibility import effects_with_adopted
from phasegate.infra.artifacts import Artifact
from phasegate.infra.errors import (
    BudgetExceeded,
    DeployFailed,
    PermissionAsked,
    PhasegateError,
    QuestionAsked,
    RehearsalDeparted,
    TemporaryError,
)
from phasegate.infra.ledger import Attempt, Decision
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.ledger.events import EventKind, payloads

Result = TypeVar("Result")

_MEASURED = frozenset({"measuring", "analysis", "background", "watching", "baking"})
"""The parts of stages that were measured, rather than made."""
_SAME: Mapping[str, object] = {
    "code": "same",
    "message": "every request was as recorded; nothing was performed",
}


class RecordedSource(RunSource):
    """Source of a rehearsal: the record of its original."""

    def __init__(self, run: RunFacts, *, original: str) -> None:
        """Keep the run's facts.

        Args:
            run: The rehearsal.
            original: The run whose record answers.
        """
        super().__init__(run)
        self._original = original

    @override
    async def complete(self, pipeline: Callable[[], Awaitable[None]]) -> None:
        """Run the pipeline to where the record ends."""
        try:
            await pipeline()
        except (RecordingExhausted, Rejected, Breached, DeployFailed):
            pass
        except PhasegateError as error:
            recorded = self._run.ledger.runs.get(self._original).reason or {}
            if isinstance(error, RehearsalDeparted | TemporaryError) or recorded.get("code") != error.code:
                raise
        self._require_all_turns()

    @property
    @override
    def done_reason(self) -> dict[str, object]:
        return dict(_SAME)

    @override
    def adopts(self, stage: str) -> bool:
        return True

    @override
    async def decide(self, gate: str, number: int, ask: Callable[[], Awaitable[Decision]]) -> Decision:
        ledger = self._run.ledger
        for row in ledger.gates.list(self._original):
            if (row.gate, row.number, row.status) == (gate, number, "outdated"):
                raise SubjectStale(ledger.gates.stale_reason(row))
            if (row.gate, row.number) == (gate, number) and (
                decision := ledger.gates.effective_decision(row, row.subject)
            ) is not None:
                payload = payloads.GateRehearsed(
                    gate=gate, number=number, verdict=decision.verdict, decision=decision.id
                )
                ledger.note(self._run.id, EventKind.GATE_REHEARSED, payload=payload)
                return decision
        raise RecordingExhausted

    @override
    async def perform(self, intent: Intent, make: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        ledger = self._run.ledger
        for effect in effects_with_adopted(ledger, self._original):
            same = (effect.kind, effect_name(effect), effect.superseded) == (intent.kind, intent.name, 0)
            if same and effect.result is not None:
                payload = payloads.EffectRehearsed(
                    effect=effect.key, kind=intent.kind, compensation=intent.compensation
                )
                ledger.note(self._run.id, EventKind.EFFECT_REHEARSED, payload=payload)
                return effect.result
        raise RecordingExhausted

    @override
    def has_effect(self, intent: Intent) -> bool:
        return True

    @override
    async def measure(self, take: Callable[[], Awaitable[Result]]) -> Result:
        raise RecordingExhausted

    @override
    async def current(self, look: Callable[[], Awaitable[Result]], *, recorded: Result) -> Result:
        return recorded

    @override
    def can_observe(self, name: str) -> bool:
        return self.has_observed(name)

    @override
    def observed_names(self) -> list[str]:
        return observation_names(self._run.ledger, self._original)

    @override
    async def attempt(self, row: Attempt, work: Callable[[Attempt], Awaitable[Result]]) -> Result:
        try:
            return await work(row)
        except (BudgetExceeded, PermissionAsked, QuestionAsked) as need:  # no person had answered by then
            raise RecordingExhausted from need
        except RehearsalDeparted as error:
            if self._has_ended(row):
                raise RecordingExhausted from error
            raise

    @override
    def adoptable(
        self, make: type[Artifact], stage: str, part: str, number: int, inputs: Mapping[str, str]
    ) -> Attempt | None:
        """The attempt that the original adopted itself, or that measured rather than made something."""
        attempt = self._finished(stage, part, number)
        return attempt if attempt is not None and (attempt.origin or part in _MEASURED) else None

    @override
    def _before_adopting(self, attempt: Attempt) -> None:
        """Adopt nothing: a rehearsal has no effects to undo."""

    @override
    def last_attempt(self, stage: str, inputs: Mapping[str, str]) -> None:
        return None

    @override
    def original(self, row: Attempt) -> Attempt:
        return self._run.ledger.attempts.find(row.id_in(self._original)) or row

    @override
    def draft_check(self, check: DraftCheck[Result]) -> DraftCheck[Result]:
        return lambda _draft: ""

    @override
    def budget(self) -> Budget:
        return NoBudget()

    @property
    @override
    def extra_attempts(self) -> int:
        """Attempts granted to the rehearsal, and those granted to its original."""
        return self._run.record.grants + self._run.ledger.runs.get(self._original).grants

    def _has_ended(self, attempt: Attempt) -> bool:
        """True if an attempt has made all the model calls of an original attempt that did not finish."""
        original = self._run.ledger.attempts.find(attempt.id_in(self._original))
        if original is None or original.status == "finished":
            return False
        return self._turns(attempt.id) == self._turns(original.id)

    def _require_all_turns(self) -> None:
        """Depart where an attempt finished before its original did."""
        ledger = self._run.ledger
        for attempt in ledger.attempts.list(self._run.id):
            here, there = self._turns(attempt.id), self._turns(attempt.id_in(self._original))
            if attempt.status == "finished" and not attempt.origin and here < there:
                where = f"{attempt.stage}, attempt {attempt.number}"
                payload = payloads.RehearsalDeparture(
                    attempt=attempt.id, turn=here + 1, why="the attempt ended before this turn", diff=""
                )
                ledger.note(self._run.id, EventKind.REHEARSAL_DEPARTED, payload=payload)
                raise RehearsalDeparted(f"{where} ended before turn {here + 1}, which the record has")

    def _turns(self, attempt_id: str) -> int:
        return self._run.ledger.exchanges.usage(AttemptId.parse(attempt_id).run, attempt_id=attempt_id).turns
