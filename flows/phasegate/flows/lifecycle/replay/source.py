"""Source of a run: the port to all that the pipeline gets from outside itself.

A decision at a gate, an effect, an observation, a measurement, an attempt's outcome and a budget come from the world
(`live`) or from the record of an earlier run (`recorded`). Stages, gates and the saga say how the world is asked.
The source alone knows if it is. It opens no gate and makes no effect itself.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from phasegate.agents.loop import Budget
from phasegate.flows.lifecycle.facts import RunFacts
from phasegate.flows.lifecycle.intent import Intent
from phasegate.infra.artifacts import Artifact, canonical_json
from phasegate.infra.ledger import Attempt, Decision, Effect, Ledger
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.events.catalogue import payload_of

Made = TypeVar("Made", bound=Artifact)
Result = TypeVar("Result")
DraftCheck = Callable[[Result], str]


class RunSource(ABC):
    """Source of a run's decisions, effects, observations, measurements and attempts."""

    def __init__(self, run: RunFacts) -> None:
        """Keep the run's facts."""
        self._run = run

    @abstractmethod
    async def complete(self, pipeline: Callable[[], Awaitable[None]]) -> None:
        """Run the pipeline as far as the source reaches.

        Raises:
            RehearsalDeparted: The pass is not the recorded one.
            RunSignal, PhasegateError: As the pipeline.
        """

    @property
    @abstractmethod
    def done_reason(self) -> dict[str, object] | None:
        """The reason that a run gives for being done, or None if none is needed."""

    @abstractmethod
    def adopts(self, stage: str) -> bool:
        """True if the record of an earlier run answers for a stage."""

    # Decisions, effects and measurements

    @abstractmethod
    async def decide(self, gate: str, number: int, ask: Callable[[], Awaitable[Decision]]) -> Decision:
        """The decision at a gate's round.

        Args:
            gate: The gate.
            number: The round.
            ask: Opens the gate and waits for people.

        Raises:
            SubjectStale: The round is over before a decision could count.
            RecordingExhausted: No decision is recorded.
        """

    @abstractmethod
    async def perform(self, intent: Intent, make: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """The result of an effect.

        Args:
            intent: The effect.
            make: Makes the effect, or finds it made by this run.

        Raises:
            RecordingExhausted: The recorded run did not make the effect.
        """

    @abstractmethod
    def has_effect(self, intent: Intent) -> bool:
        """True if `perform` would return an effect of the earlier run, whatever the world looks like now."""

    @abstractmethod
    async def measure(self, take: Callable[[], Awaitable[Result]]) -> Result:
        """The result of a measurement.

        Raises:
            RecordingExhausted: The earlier run's reports are adopted, and there is nothing left to measure.
        """

    @abstractmethod
    async def current(self, look: Callable[[], Awaitable[Result]], *, recorded: Result) -> Result:
        """The present state of something in the world, which is not stored.

        Args:
            look: Looks at the world.
            recorded: The state on record. A recorded world does not change.
        """

    # Observations

    @abstractmethod
    def can_observe(self, name: str) -> bool:
        """True if an observation can be made or taken over: a record made before it existed has none."""

    @abstractmethod
    def observed_names(self) -> list[str]:
        """Names of the observations so far, oldest first. A rehearsal has those of its original."""

    async def observe(self, stage: str, name: str, look: Callable[[], Awaitable[Any]]) -> Any:
        """Record an observation of the outside world once; later passes get the recorded value.

        Args:
            stage: The stage that observes.
            name: Names the observation within the run.
            look: Looks; what it gives must be JSON-able.

        Effects:
            One event with the value. A replay of later stages, and a rehearsal, get the earlier run's value.
        """
        ledger, origin = self._run.ledger, self._run.origin
        observation = _observation(ledger, self._run.id, name)
        if observation is None and origin is not None:
            observation = self._earlier_observation(stage, name)
            if observation is not None:
                ledger.note(self._run.id, EventKind.STAGE_OBSERVED, payload={**observation, "from": origin.run})
        if observation is None:
            value, _ = self._run.secrets.mask_all(json.loads(canonical_json(await look())))
            observation = {"stage": stage, "name": name, "value": value}
            ledger.note(self._run.id, EventKind.STAGE_OBSERVED, payload=observation)
        return observation["value"]

    def recorded(self, stage: str, name: str) -> Any:
        """The recorded value that `observe` would return, of this run or adopted, or None if it would look."""
        observation = _observation(self._run.ledger, self._run.id, name) or self._earlier_observation(stage, name)
        return observation["value"] if observation is not None else None

    def has_observed(self, name: str) -> bool:
        """True if this run, or the run it replays, has recorded an observation of this name."""
        runs = [self._run.id, *([self._run.origin.run] if self._run.origin else [])]
        return any(_observation(self._run.ledger, run_id, name) is not None for run_id in runs)

    def _earlier_observation(self, stage: str, name: str) -> dict[str, Any] | None:
        """Observation of the earlier run, where this one takes it over."""
        origin = self._run.origin
        return _observation(self._run.ledger, origin.run, name) if origin and self.adopts(stage) else None

    # Attempts

    @abstractmethod
    async def attempt(self, row: Attempt, work: Callable[[Attempt], Awaitable[Result]]) -> Result:
        """The outcome of an attempt that is not adopted.

        Raises:
            RecordingExhausted: The recorded attempt went no further: it waited for a person, or did not finish.
            PhasegateError: As `work`.
        """

    @abstractmethod
    def adoptable(
        self, make: type[Artifact], stage: str, part: str, number: int, inputs: Mapping[str, str]
    ) -> Attempt | None:
        """The earlier run's attempt that this run may adopt, or None if the stage must be attempted again."""

    @abstractmethod
    def last_attempt(self, stage: str, inputs: Mapping[str, str]) -> int | None:
        """The number of the earlier run's last finished attempt of these inputs, if this run adopts the stage."""

    @abstractmethod
    def original(self, row: Attempt) -> Attempt:
        """The attempt that people were asked about: the same, or the one that a rehearsal repeats."""

    @abstractmethod
    def draft_check(self, check: DraftCheck[Result]) -> DraftCheck[Result]:
        """The check of an agent's draft. A rehearsal accepts a draft that was accepted then."""

    def adopt(self, make: type[Made], stage: str, part: str, number: int, inputs: Mapping[str, str]) -> Made | None:
        """Adopt an attempt as the run's own.

        Returns:
            The attempt's artifact, or None if the stage must be attempted again.

        Effects:
            One attempt row that names the attempt it came from. A later pass finds it.
        """
        attempts = self._run.ledger.attempts
        existing = attempts.find(str(AttemptId.of(self._run.id, stage, part, number)))
        if existing is not None and not existing.origin:
            return None
        earlier = existing or self.adoptable(make, stage, part, number, inputs)
        if earlier is None:
            return None
        if existing is None:
            self._before_adopting(earlier)
        row = existing or attempts.adopt(self._run.id, earlier)
        return self._run.ledger.artifacts.get(row.artifact or "", make)

    @abstractmethod
    def _before_adopting(self, attempt: Attempt) -> None:
        """Adopt what belongs to an attempt besides its artifact."""

    def _finished(self, stage: str, part: str, number: int) -> Attempt | None:
        """The earlier run's attempt of this number, if it finished and still counts."""
        origin, attempts = self._run.origin, self._run.ledger.attempts
        attempt = attempts.find(str(AttemptId.of(origin.run, stage, part, number))) if origin else None
        return attempt if attempt is not None and attempt.status == "finished" and not attempt.superseded else None

    # Limits

    @abstractmethod
    def budget(self) -> Budget:
        """Budget of the run's agents as of now: a grant leads to another."""

    @property
    @abstractmethod
    def extra_attempts(self) -> int:
        """Attempts that an operator granted beyond policy's."""


def effect_name(effect: Effect) -> str:
    """Name of an effect within its run, the same each time it is made again after a rewind."""
    return effect.key.removeprefix(f"{effect.run_id}/").partition(".")[0]


def observation_names(ledger: Ledger, run_id: str) -> list[str]:
    """Names of all observations that a run recorded, oldest first."""
    return [facts["name"] for facts in _observations(ledger, run_id)]


def _observation(ledger: Ledger, run_id: str, name: str) -> dict[str, Any] | None:
    first = next((facts for facts in _observations(ledger, run_id) if facts["name"] == name), None)
    return None if first is None else {"stage": first["stage"], "name": first["name"], "value": first["value"]}


def _observations(ledger: Ledger, run_id: str) -> list[payloads.StageObserved]:
    events = ledger.events(run_id, kinds=(EventKind.STAGE_OBSERVED,))
    return [payload_of(event, payloads.StageObserved) for event in events]
