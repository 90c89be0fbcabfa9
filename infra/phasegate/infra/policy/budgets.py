"""`[budget]` of `phasegate.toml`: what agents may use up, by run, by stage and by day.

Part of the policy's model. It must not know who counts.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from phasegate.infra.policy.base import Duration, PolicyModel

BudgetedName = Literal["cost_usd", "tokens", "turns", "wall_clock"]


class LimitsPolicy(PolicyModel):
    """Limits that every budget may set."""

    cost_usd: float | None = Field(default=None, gt=0)
    """US dollars; not checked for a model whose price is unknown."""
    tokens: int | None = Field(default=None, ge=1)
    """Input and output tokens of all model calls."""
    turns: int | None = Field(default=None, ge=1)
    """Model calls."""
    wall_clock: Duration | None = Field(default=None, gt=timedelta(0))
    """Time that agents may work, each counted by itself; the time people think does not count, nor does grading."""

    @property
    def limits(self) -> dict[BudgetedName, float]:
        """Limits that are set, by name: US dollars, tokens, model calls, seconds."""
        named: dict[BudgetedName, float | None] = {
            "cost_usd": self.cost_usd,
            "tokens": self.tokens,
            "turns": self.turns,
            "wall_clock": self.wall_clock.total_seconds() if self.wall_clock is not None else None,
        }
        return {name: amount for name, amount in named.items() if amount is not None}


class DayBudgetPolicy(LimitsPolicy):
    """`[budget.day]`: what the agents of all runs in this repository may use up in a day (UTC)."""


class StageBudgetPolicy(LimitsPolicy):
    """`[budget.stages.STAGE]`: what a stage's agents may use up, all their attempts together."""


class StagesBudgetPolicy(PolicyModel):
    """`[budget.stages]`: one table per stage; a stage that is not named has the run's budget only."""

    prd: StageBudgetPolicy = StageBudgetPolicy()
    implementation: StageBudgetPolicy = StageBudgetPolicy()
    testing: StageBudgetPolicy = StageBudgetPolicy()
    deployment: StageBudgetPolicy = StageBudgetPolicy()
    monitoring: StageBudgetPolicy = StageBudgetPolicy()

    def named(self, stage: str) -> StageBudgetPolicy:
        """The budget of one stage."""
        policy: StageBudgetPolicy = getattr(self, stage)
        return policy


class BudgetPolicy(StageBudgetPolicy):
    """`[budget]`: what a run's agents may use up; checked before every model call."""

    tokens: int | None = Field(default=5_000_000, ge=1)
    """Input and output tokens of all model calls."""
    turns: int | None = Field(default=400, ge=1)
    """Model calls."""
    stages: StagesBudgetPolicy = StagesBudgetPolicy()
    day: DayBudgetPolicy = DayBudgetPolicy()
