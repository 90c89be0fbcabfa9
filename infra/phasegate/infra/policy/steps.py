"""`[[deploy.steps]]` of `phasegate.toml`: how a candidate comes to serve, in Argo Rollouts' words.

Part of the policy's model. It must not know what runs them.
Source: https://argo-rollouts.readthedocs.io/en/stable/features/canary/
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, cast

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from phasegate.infra.policy.base import Duration, PolicyModel

StepKind = Literal["set_weight", "pause", "analysis", "gate"]
_KEYS: tuple[StepKind, ...] = ("set_weight", "pause", "analysis", "gate")


def _all_of_them(names: object) -> object:
    """`true` as what it means: no name, all metrics."""
    if isinstance(names, list):
        return tuple(cast("list[object]", names))
    return () if names is True else names


class StepPolicy(PolicyModel):
    """`[[deploy.steps]]`: one step, by exactly one key."""

    set_weight: int | None = Field(default=None, ge=1, le=99)
    """The share of the traffic that the candidate takes from here on, in percent."""
    pause: Duration | None = None
    """Time that the steps rest here; a restart of the engine does not begin it anew."""
    analysis: Annotated[tuple[str, ...] | None, BeforeValidator(_all_of_them)] = None
    """Names of `[[monitor.metrics]]` that have to pass, measured on the candidate; `true` or empty: all of them."""
    gate: bool | None = None
    """`true`: a person decides at gate `promotion`."""

    @field_validator("gate")
    @classmethod
    def _is_true(cls, gate: bool | None) -> bool | None:  # noqa: FBT001  as pydantic calls it
        if gate is False:
            raise ValueError("must be true: a step that asks nobody is left out")
        return gate

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [key for key in _KEYS if getattr(self, key) is not None]
        if len(given) != 1:
            listed = " and ".join(given) or "none"
            text = f"a step has exactly one of {', '.join(_KEYS)}, found {listed}"
            problems = [((given[1],) if given else (), text)]
            raise PydanticCustomError("contradictions", "{text}", {"text": text, "problems": problems})
        return self

    @property
    def kind(self) -> StepKind:
        """The step's one key."""
        return next(key for key in _KEYS if getattr(self, key) is not None)
