"""Adoption: a run takes over finished attempts, observations and effects from the run it replays.

`attempts` asks before a stage is tried, the stages before they observe the world, and `saga` before an effect is made.
Nothing is started here. Whatever does not match the earlier run's record is done again.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.runs.reversibility import adopted_keys, effects_with_adopted
from phasegate.infra.artifacts import Artifact, canonical_json
from phasegate.infra.errors import FormatUnknown
from phasegate.infra.ledger import Attempt, Effect, Ledger
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.policy.model import Policy

Made = TypeVar("Made", bound=Artifact)

MEASURED = frozenset({"measuring", "analysis", "background", "watching", "baking"})
"""The parts of stages that were measured, rather than made."""
_STAGE_OF_EFFECT = {"merge": "testing"}
"""Whose stage an effect belongs to; what is not named here belongs to the deployment."""


def comes_before(policy: Policy, stage: str, start: str) -> bool:
    """True if a stage is over before another begins, in the policy's order."""
    stages: list[str] = list(policy.lifecycle.stages)
    return stage in stages and start in stages and stages.index(stage) < stages.index(start)


def adoptable(
    run: RunContext, make: type[Made], stage: str, part: str, number: int, inputs: Mapping[str, str]
) -> Attempt | None:
    """The earlier run's attempt that this run may adopt.

    A replay adopts attempts of the same inputs at stages before the one it starts from. A rehearsal adopts what its
    original adopted itself, and attempts that measured rather than made something.

    Returns:
        The attempt, or None if the stage must be attempted again.
    """
    origin, ledger = run.origin, run.ledger
    if origin is None:
        return None
    made = ledger.attempts.find(str(AttemptId.of(origin.run, stage, part, number)))
    if made is None or made.status != "finished" or made.superseded:
        return None
    if origin.mode == "rehearse":
        return made if made.origin or part in MEASURED else None
    same = all(made.inputs.get(name) == digest for name, digest in inputs.items())
    if not same or not comes_before(run.policy, stage, origin.stage):
        return None
    return made if _is_understood(ledger, made, make) else None


def adopted(
    run: RunContext, make: type[Made], stage: str, part: str, number: int, inputs: Mapping[str, str]
) -> Made | None:
    """The artifact of an adopted attempt, recorded as this run's own.

    Returns:
        The artifact, or None if the stage must be attempted again.

    Effects:
        One attempt row that names the attempt it came from. A later pass finds it.
    """
    attempts = run.ledger.attempts
    known = attempts.find(str(AttemptId.of(run.id, stage, part, number)))
    if known is not None and not known.origin:
        return None
    made = known or adoptable(run, make, stage, part, number, inputs)
    if made is None:
        return None
    if known is None and part == "release":
        _take_over_release(run)
    row = known or attempts.adopt(run.id, made)
    return run.ledger.artifacts.get(row.artifact or "", make)


def last_attempt(run: RunContext, stage: str, inputs: Mapping[str, str]) -> int | None:
    """The number of the earlier run's last finished attempt at a stage, made of these inputs, where that is adopted."""
    origin, ledger = run.origin, run.ledger
    if origin is None or origin.mode == "rehearse" or not comes_before(run.policy, stage, origin.stage):
        return None
    begun = [one for one in ledger.attempts.list(run.id) if one.stage == stage and not one.superseded]
    if begun:
        return min(one.number for one in begun)
    there = [one for one in ledger.attempts.list(origin.run) if one.stage == stage and not one.superseded]
    finished = [one.number for one in there if one.status == "finished" and inputs.items() <= one.inputs.items()]
    return max(finished, default=None)


async def observe(run: RunContext, stage: str, name: str, look: Callable[[], Awaitable[Any]]) -> Any:
    """Record an observation of the outside world once; later passes get the recorded value.

    Args:
        run: The run.
        stage: The stage that observes.
        name: Names the observation within the run.
        look: Looks; what it gives must be JSON-able.

    Effects:
        One event with the value. A replay of later stages, and a rehearsal, get the earlier run's value.
    """
    ledger, origin = run.ledger, run.origin
    seen = _observation(ledger, run.id, name)
    if seen is None and origin is not None:
        seen = _earlier_observation(run, stage, name)
        if seen is not None:
            ledger.note(run.id, EventKind.STAGE_OBSERVED, payload={**seen, "from": origin.run})
    if seen is None:
        value, _ = run.secrets.mask_all(json.loads(canonical_json(await look())))
        seen = {"stage": stage, "name": name, "value": value}
        ledger.note(run.id, EventKind.STAGE_OBSERVED, payload=seen)
    return seen["value"]


def is_recorded(run: RunContext, stage: str, name: str) -> bool:
    """True if `observe` would return a recorded value, of this run or adopted from the earlier one."""
    return recorded(run, stage, name) is not None


def recorded(run: RunContext, stage: str, name: str) -> Any:
    """The recorded value of an observation, of this run or of the earlier one, or None if none was recorded."""
    seen = _observation(run.ledger, run.id, name) or _earlier_observation(run, stage, name)
    return seen["value"] if seen is not None else None


def has_observed(run: RunContext, name: str) -> bool:
    """True if this run, or the run it replays, has recorded an observation of this name."""
    behind = [run.origin.run] if run.origin else []
    return any(_observation(run.ledger, known, name) is not None for known in (run.id, *behind))


def adopted_effect(run: RunContext, kind: str, name: str, facts: Mapping[str, Any]) -> Effect | None:
    """The earlier run's effect that is in the world and need not be made again, for its stage is adopted.

    Effects:
        One event that names it: rolling this run back undoes it too.
    """
    origin, ledger = run.origin, run.ledger
    if origin is None:
        return None
    stages = run.policy.lifecycle.stages
    stage = _STAGE_OF_EFFECT.get(kind, "deployment")
    if not comes_before(run.policy, stage if stage in stages else stages[-1], origin.stage):
        return None
    for effect in effects_with_adopted(ledger, origin.run):
        same = effect.kind == kind and effect.intent.get("change") == facts.get("change")
        if same and effect.status == "done" and effect_name(effect) == name:
            _take_over(ledger, run.id, effect)
            return effect
    return None


def _take_over_release(run: RunContext) -> None:
    """Adopt the effects of an adopted release, so that rolling this run back undoes them."""
    origin, ledger = run.origin, run.ledger
    if origin is not None and not run.rehearses:
        for effect in effects_with_adopted(ledger, origin.run):
            if effect.kind not in _STAGE_OF_EFFECT and effect.status == "done":
                _take_over(ledger, run.id, effect)


def _take_over(ledger: Ledger, run_id: str, effect: Effect) -> None:
    if effect.key not in adopted_keys(ledger, run_id):
        ledger.note(
            run_id, EventKind.EFFECT_ADOPTED, payload=payloads.EffectAdopted(effect=effect.key, kind=effect.kind)
        )


def effect_name(effect: Effect) -> str:
    """Name of an effect within its run, the same each time it is made again after a rewind."""
    return effect.key.removeprefix(f"{effect.run_id}/").partition(".")[0]


def _observation(ledger: Ledger, run_id: str, name: str) -> dict[str, Any] | None:
    for event in ledger.events(run_id):
        if event.kind == EventKind.STAGE_OBSERVED and event.payload["name"] == name:
            return {key: event.payload[key] for key in ("stage", "name", "value")}
    return None


def _earlier_observation(run: RunContext, stage: str, name: str) -> dict[str, Any] | None:
    """Observation of the earlier run, where this one takes it over."""
    origin = run.origin
    if origin is None or not (origin.mode == "rehearse" or comes_before(run.policy, stage, origin.stage)):
        return None
    return _observation(run.ledger, origin.run, name)


def _is_understood(ledger: Ledger, made: Attempt, make: type[Artifact]) -> bool:
    try:
        ledger.artifacts.get(made.artifact or "", make)
    except FormatUnknown:
        return False
    return True
