"""The saga's performers of migrations: what may be left in place, and what there is no way back from.

Used by `saga`, and by stage `deployment` where a migration fails. The commands are run by
`phasegate.infra.deploy.migrations.migrator`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from phasegate.flows.lifecycle.context import RunContext
from phasegate.infra.deploy.migrations.migrator import MigrationStep
from phasegate.infra.errors import PhasegateError, TargetRefused
from phasegate.infra.ledger import Effect, EffectClass


class ExpandPerformer:
    """`expand`: what a release needs more of in the schema; undoing the release leaves it there."""

    effect_class: ClassVar[EffectClass] = "compensable"

    async def make(self, run: RunContext, key: str, intent: Mapping[str, Any]) -> dict[str, Any]:
        """Have the team's command make it, or find it made."""
        return await _make(run, key, intent)

    async def undo(self, run: RunContext, effect: Effect) -> dict[str, Any]:
        """Leave it: the release before works with a schema that has more in it, and data may be there by now."""
        return {"left": "the schema stays expanded"}


class PivotPerformer:
    """`migrate` and `contract`: after one is made, the run only goes forward."""

    effect_class: ClassVar[EffectClass] = "pivot"

    async def make(self, run: RunContext, key: str, intent: Mapping[str, Any]) -> dict[str, Any]:
        """Have the team's command make it, or find it made."""
        return await _make(run, key, intent)

    async def undo(self, run: RunContext, effect: Effect) -> dict[str, Any]:
        """Nothing: it is only undone what `is_unmade` says was never made."""
        return {"found": "it had not been made"}

    async def is_unmade(self, run: RunContext, effect: Effect) -> bool:
        """Whether the team's `status` command says for certain that nothing of it is in the world."""
        return await run.migrator.state(MigrationStep.model_validate(effect.intent), _told(effect.key)) == "pending"


async def _make(run: RunContext, key: str, intent: Mapping[str, Any]) -> dict[str, Any]:
    made = await run.migrator.make(MigrationStep.model_validate(dict(intent)), _told(key))
    said = run.shared.secrets.mask(made.output).text
    return {"found": "made already"} if made.found else {"said": said, "log": made.log}


def _told(key: str) -> str:
    """The key that the command knows: what a rewind has left in place is the same migration when it is made anew."""
    return key.partition(".")[0]


async def route_all_traffic_to_current(run: RunContext, effects: Sequence[Effect]) -> str:
    """Give all traffic to the release that serves, for as long as a run waits for a person; what could not be, if so.

    Two versions side by side are for the minutes in which they are measured. Until the cut-over the release before is
    the one that is known to hold, on a schema that is still its own.

    Effects:
        The candidate takes no share; the cut-over, if the run goes on to it, starts from there.
    """
    standing = {effect.kind: effect for effect in effects if effect.status == "done"}
    candidate = standing.get("candidate")
    if candidate is None or "cut-over" in standing:
        return ""
    try:
        await run.target.set_weight(str(candidate.intent["release_id"]), 0)
    except TargetRefused:  # which cannot shift traffic, so none was shifted
        return ""
    except PhasegateError as error:
        return f"the candidate may still take a share of the traffic: {error.message}"
    return ""
