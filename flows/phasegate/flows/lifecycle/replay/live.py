"""Live source: the world, and for the stages that a replay adopts, the record of the earlier run.

Nothing is started here. Whatever does not match the earlier run's record is done again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from typing_extensions import override

from phasegate.agents.loop import Budget, RunBudget
from phasegate.flows.lifecycle.intent import Intent
from phasegate.flows.lifecycle.replay.source import DraftCheck, RunSource, effect_name, observation_names
from phasegate.flows.runs.interrupt_decisions import granted_budgets
from phasegate.flows.runs.reversibility import adopted_keys, effects_with_adopted
from phasegate.infra.artifacts import Artifact
from phasegate.infra.errors import FormatUnknown
from phasegate.infra.ledger import Attempt, Decision, Effect, Ledger
from phasegate.infra.ledger.events import EventKind, payloads

Result = TypeVar("Result")

_STAGE_OF_EFFECT = {"merge": "testing"}
"""Stages of effects by their kind; a kind that is not named here belongs to the deployment."""


class LiveSource(RunSource):
    """Source of a run that works: it asks people, changes the world and looks at it."""

    @override
    async def complete(self, pipeline: Callable[[], Awaitable[None]]) -> None:
        await pipeline()

    @property
    @override
    def done_reason(self) -> None:
        return None

    @override
    def adopts(self, stage: str) -> bool:
        origin = self._run.origin
        if origin is None:
            return False
        stages: list[str] = list(self._run.policy.lifecycle.stages)
        return stage in stages and origin.stage in stages and stages.index(stage) < stages.index(origin.stage)

    @override
    async def decide(self, gate: str, number: int, ask: Callable[[], Awaitable[Decision]]) -> Decision:
        return await ask()

    @override
    async def perform(self, intent: Intent, make: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        effect = self._adopted_effect(intent)
        return await make() if effect is None else effect.result or {}

    @override
    def has_effect(self, intent: Intent) -> bool:
        return self._adopted_effect(intent) is not None

    @override
    async def measure(self, take: Callable[[], Awaitable[Result]]) -> Result:
        return await take()

    @override
    async def current(self, look: Callable[[], Awaitable[Result]], *, recorded: Result) -> Result:
        return await look()

    @override
    def can_observe(self, name: str) -> bool:
        return True

    @override
    def observed_names(self) -> list[str]:
        return observation_names(self._run.ledger, self._run.id)

    @override
    async def attempt(self, row: Attempt, work: Callable[[Attempt], Awaitable[Result]]) -> Result:
        return await work(row)

    @override
    def adoptable(
        self, make: type[Artifact], stage: str, part: str, number: int, inputs: Mapping[str, str]
    ) -> Attempt | None:
        """The attempt of the same inputs, at a stage before the one that a replay starts from."""
        attempt = self._finished(stage, part, number)
        if attempt is None or not self.adopts(stage):
            return None
        same = all(attempt.inputs.get(name) == digest for name, digest in inputs.items())
        return attempt if same and _is_understood(self._run.ledger, attempt, make) else None

    @override
    def last_attempt(self, stage: str, inputs: Mapping[str, str]) -> int | None:
        origin, attempts = self._run.origin, self._run.ledger.attempts
        if origin is None or not self.adopts(stage):
            return None
        numbers = [row.number for row in attempts.list(self._run.id) if row.stage == stage and not row.superseded]
        if numbers:
            return min(numbers)
        earlier = [row for row in attempts.list(origin.run) if row.stage == stage and not row.superseded]
        finished = [row.number for row in earlier if row.status == "finished" and inputs.items() <= row.inputs.items()]
        return max(finished, default=None)

    @override
    def original(self, row: Attempt) -> Attempt:
        return row

    @override
    def draft_check(self, check: DraftCheck[Result]) -> DraftCheck[Result]:
        return check

    @override
    def budget(self) -> Budget:
        ledger, policy = self._run.ledger, self._run.policy
        grants = granted_budgets(ledger, self._run.id)
        return RunBudget(ledger, policy.budget, grants)

    @property
    @override
    def extra_attempts(self) -> int:
        return self._run.record.grants

    def _adopted_effect(self, intent: Intent) -> Effect | None:
        """The earlier run's effect that is in the world and need not be made again, for its stage is adopted.

        Effects:
            One event that names it, for `effects_to_undo`.
        """
        origin, ledger = self._run.origin, self._run.ledger
        if origin is None:
            return None
        stages, stage = self._run.policy.lifecycle.stages, _STAGE_OF_EFFECT.get(intent.kind, "deployment")
        if not self.adopts(stage if stage in stages else stages[-1]):
            return None
        for effect in effects_with_adopted(ledger, origin.run):
            same = effect.kind == intent.kind and effect.intent.get("change") == intent.facts.get("change")
            if same and effect.status == "done" and effect_name(effect) == intent.name:
                self._adopt_effect(effect)
                return effect
        return None

    @override
    def _before_adopting(self, attempt: Attempt) -> None:
        """Adopt the effects of an adopted release: a rollback of this run undoes them, since it judges the release."""
        origin, ledger = self._run.origin, self._run.ledger
        if origin is not None and attempt.part == "release":
            for effect in effects_with_adopted(ledger, origin.run):
                if effect.kind not in _STAGE_OF_EFFECT and effect.status == "done":
                    self._adopt_effect(effect)

    def _adopt_effect(self, effect: Effect) -> None:
        ledger, run_id = self._run.ledger, self._run.id
        if effect.key not in adopted_keys(ledger, run_id):
            payload = payloads.EffectAdopted(effect=effect.key, kind=effect.kind)
            ledger.note(run_id, EventKind.EFFECT_ADOPTED, payload=payload)


def _is_understood(ledger: Ledger, attempt: Attempt, make: type[Artifact]) -> bool:
    try:
        ledger.artifacts.get(attempt.artifact or "", make)
    except FormatUnknown:
        return False
    return True
