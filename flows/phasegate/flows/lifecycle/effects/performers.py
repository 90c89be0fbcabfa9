"""Performers of a run's effects on the world: each makes and undoes one kind (P3, P6).

Used by `saga`, which records every step; a performer knows the world, and not the order of the effects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.effects.migrations import ExpandPerformer, PivotPerformer
from phasegate.flows.lifecycle.effects.traffic import WeightPerformer
from phasegate.infra.ledger import Effect, EffectClass
from phasegate.infra.workspace import ChangeSet, find_merge, merge, released_change, revert

Facts = dict[str, Any]


class Performer(Protocol):
    """Makes and undoes one kind of effect; both find the work of an interrupted try.

    Attributes:
        effect_class: `reversible`, `compensable` or `pivot`, as the ledger has it.
    """

    effect_class: ClassVar[EffectClass]

    async def make(self, run: RunContext, key: str, intent: Mapping[str, Any]) -> Facts:
        """Make the effect, or find it made.

        Returns:
            The facts that are needed to undo it.
        """
        ...

    async def undo(self, run: RunContext, effect: Effect) -> Facts:
        """Undo the effect, whether or not it was made.

        Returns:
            The facts of the undoing.
        """
        ...


class MergePerformer:
    """`merge`: the change into the base branch; undone by a revert commit."""

    effect_class: ClassVar[EffectClass] = "compensable"

    async def make(self, run: RunContext, key: str, intent: Mapping[str, Any]) -> Facts:
        """Merge, or find the merge that carries the effect's key."""
        change = run.ledger.artifacts.get(str(intent["change"]), ChangeSet)
        tree = str(intent.get("tree", ""))
        released = await asyncio.to_thread(released_change, run.world.repository, change, tree)
        merged = await asyncio.to_thread(
            merge,
            run.world.repository,
            released,
            str(intent["branch"]),
            run_id=run.id,
            key=key,
            message=str(intent["message"]),
            graded=tree,
        )
        return {"ref": merged.ref, "commit": merged.commit, "previous": merged.previous}

    async def undo(self, run: RunContext, effect: Effect) -> Facts:
        """Revert the merge that carries the effect's key, if there is one."""
        branch = str(effect.intent["branch"])
        merged = await asyncio.to_thread(find_merge, run.world.repository, branch, effect.key)
        if merged is None:
            return {"found": "no merge had been made"}
        key = f"{effect.key}/undo"
        reverted = await asyncio.to_thread(revert, run.world.repository, merged, branch, key=key)
        return {"ref": reverted.ref, "commit": reverted.commit}


class CandidatePerformer:
    """`candidate`: a release that runs next to the current one; undone by stopping it."""

    effect_class: ClassVar[EffectClass] = "reversible"

    async def make(self, run: RunContext, key: str, intent: Mapping[str, Any]) -> Facts:
        """Start the candidate and wait until it is healthy."""
        candidate = await run.world.target.start_candidate(
            str(intent["release_id"]), str(intent["commit"]), taking=intent.get("taking", ())
        )
        return candidate.model_dump(mode="json")

    async def undo(self, run: RunContext, effect: Effect) -> Facts:
        """Stop the candidate, and read back which release is current."""
        await run.world.target.stop_candidate(str(effect.intent["release_id"]))
        current = (await run.world.target.status()).current
        serves = {"serves": current.release_id, "alive": current.alive} if current else {"serves": None}
        return {"stopped": effect.intent["release_id"], **serves}


class CutOverPerformer:
    """`cut-over`: the release becomes current; undone by making the previous one current again."""

    effect_class: ClassVar[EffectClass] = "reversible"

    async def make(self, run: RunContext, key: str, intent: Mapping[str, Any]) -> Facts:
        """Make the release current, in the place of the one it was approved to replace and of no other."""
        release = await run.world.target.cut_over(str(intent["release_id"]), over=(intent.get("previous"),))
        return release.model_dump(mode="json")

    async def undo(self, run: RunContext, effect: Effect) -> Facts:
        """Make the previous release current again, and read back which one is.

        A later release of another run stays current: only that run's rollback undoes it.
        """
        ours, replaced = effect.intent["release_id"], (effect.result or effect.intent).get("previous")
        state = await run.world.target.status()
        if state.current is None or state.current.release_id in {ours, replaced}:
            state = await run.world.target.restore(replaced)
        return state.model_dump(mode="json")


PERFORMERS: Mapping[str, Performer] = {
    "merge": MergePerformer(),
    "candidate": CandidatePerformer(),
    "weight": WeightPerformer(),
    "cut-over": CutOverPerformer(),
    "expand": ExpandPerformer(),
    "migrate": PivotPerformer(),
    "contract": PivotPerformer(),
}
"""Performer of each kind of effect."""
