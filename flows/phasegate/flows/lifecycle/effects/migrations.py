"""Performers of migrations: which ones a rollback leaves in place, and which ones are pivots.

Used by `saga`, and by stage `deployment` when a migration fails. `phasegate.infra.deploy.migrations.migrator` runs the
commands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from phasegate.flows.lifecycle.context import RunContext
from phasegate.infra.deploy.migrations.migrator import MigrationStep
from phasegate.infra.errors import PhasegateError, TargetRefused
from phasegate.infra.ledger import Effect, EffectClass


class ExpandPerformer:
    """`expand`: an addition to the schema that a release needs; undoing the release leaves it in place."""

    effect_class: ClassVar[EffectClass] = "compensable"

    async def make(self, run: RunContext, key: str, intent: Mapping[str, Any]) -> dict[str, Any]:
        """Run the team's command, or find the migration made."""
        return await _make(run, key, intent)

    async def undo(self, run: RunContext, effect: Effect) -> dict[str, Any]:
        """Leave it in place: the previous release works with a larger schema, and data may be there by now."""
        return {"left": "the schema stays expanded"}


class PivotPerformer:
    """`migrate` and `contract`: after one is made, the run only goes forward."""

    effect_class: ClassVar[EffectClass] = "pivot"

    async def make(self, run: RunContext, key: str, intent: Mapping[str, Any]) -> dict[str, Any]:
        """Run the team's command, or find the migration made."""
        return await _make(run, key, intent)

    async def undo(self, run: RunContext, effect: Effect) -> dict[str, Any]:
        """Do nothing: only a migration that `is_unmade` found never made is undone."""
        return {"found": "it had not been made"}

    async def is_unmade(self, run: RunContext, effect: Effect) -> bool:
        """True if the team's `status` command says for certain that the migration was never made."""
        return (
            await run.world.migrator.state(MigrationStep.model_validate(effect.intent), _command_key(effect.key))
            == "pending"
        )


async def _make(run: RunContext, key: str, intent: Mapping[str, Any]) -> dict[str, Any]:
    result = await run.world.migrator.make(MigrationStep.model_validate(dict(intent)), _command_key(key))
    output = run.secrets.mask(result.output).text
    return {"found": "made already"} if result.found else {"said": output, "log": result.log}


def _command_key(key: str) -> str:
    """The key that the command knows. A migration that a rewind left in place keeps it when it is made again."""
    return key.partition(".")[0]


async def route_all_traffic_to_current(run: RunContext, effects: Sequence[Effect]) -> str:
    """Give all traffic to the current release while a run waits for a person.

    Two versions run at once only for the minutes in which they are measured. Until the cut-over, the previous release
    is the one known to hold, on a schema that is still its own.

    Returns:
        A sentence about the failure, or an empty text if all traffic goes to the current release.

    Effects:
        The candidate takes no share. A later cut-over starts from there.
    """
    standing = {effect.kind: effect for effect in effects if effect.status == "done"}
    candidate = standing.get("candidate")
    if candidate is None or "cut-over" in standing:
        return ""
    try:
        await run.world.target.set_weight(str(candidate.intent["release_id"]), 0)
    except TargetRefused:  # which cannot shift traffic, so none was shifted
        return ""
    except PhasegateError as error:
        return f"the candidate may still take a share of the traffic: {error.message}"
    return ""
