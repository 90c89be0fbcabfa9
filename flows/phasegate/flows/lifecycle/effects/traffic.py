"""Traffic of a candidate: the effect `weight` gives it a share and takes the share away again.

Its performer is one of `performers`. A target's claim is not believed: the share is read back from the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from phasegate.flows.lifecycle.context import RunContext
from phasegate.infra.deploy.target import LiveRelease
from phasegate.infra.errors import DeployFailed
from phasegate.infra.ledger import Effect, EffectClass


class WeightPerformer:
    """`weight`: a share of the traffic for the candidate; undone by giving all of it back at once."""

    effect_class: ClassVar[EffectClass] = "reversible"

    async def make(self, run: RunContext, key: str, intent: Mapping[str, Any]) -> dict[str, Any]:
        """Give the candidate its share, and return the share that was read back."""
        weight = await run.world.target.set_weight(str(intent["release_id"]), int(intent["percent"]))
        return weight.model_dump(mode="json")

    async def undo(self, run: RunContext, effect: Effect) -> dict[str, Any]:
        """Take the candidate's share away, and read it back; if that fails, the candidate's end does it.

        Raises:
            DeployFailed: It still has one.
        """
        release_id = str(effect.intent["release_id"])
        candidate = await _candidate(run, release_id)
        if candidate is not None and candidate.weight:
            try:
                await run.world.target.set_weight(release_id, 0)
            except DeployFailed:
                await run.world.target.stop_candidate(release_id)
            candidate = await _candidate(run, release_id)
        weight = candidate.weight if candidate is not None else 0
        if weight:
            raise DeployFailed(
                f"Candidate {release_id} of {run.world.service} still takes {weight:g} % of the traffic.",
                remedy="Take it away by hand.",
                release_id=release_id,
            )
        return {"release_id": release_id, "actual": weight}


async def _candidate(run: RunContext, release_id: str) -> LiveRelease | None:
    state = await run.world.target.status()
    return next((candidate for candidate in state.candidates if candidate.release_id == release_id), None)
