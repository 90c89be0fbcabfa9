"""`[gates]`: names of the gates, and who may decide at each. Part of `model`, and all that the ledger needs of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self, TypeGuard, get_args

from pydantic import Field, field_validator, model_validator

from phasegate.infra.policy.base import Duration, PolicyModel

PipelineGate = Literal["prd", "change", "release", "promotion"]
InterruptGate = Literal["budget", "permission"]
GateName = PipelineGate | InterruptGate

INTERRUPT_GATES: tuple[InterruptGate, ...] = get_args(InterruptGate)
"""Gates that an agent comes to in the middle of its work; they are neither skipped nor passed in advance."""
GATES: tuple[GateName, ...] = (*get_args(PipelineGate), *INTERRUPT_GATES)
ADMIN = "admin"
"""The role of `[roles]` that may override a gate."""


def is_gate(name: str) -> TypeGuard[GateName]:
    """True if there is a gate of this name."""
    return name in GATES


class GatePolicy(PolicyModel):
    """`[gates.GATE]`: who may decide, and for how long an open gate waits."""

    roles: tuple[str, ...] = ()
    """Roles of `[roles]` that may decide; empty: anyone the identity mode knows."""
    quorum: int = Field(default=1, ge=1)
    """Number of different people who must approve."""
    exclude_requester: bool = False
    """True if the person who asked for the run may not decide."""
    expires: Duration = timedelta(days=7)
    """Time that the gate waits before it must be opened anew."""
    off: bool = False
    """True if this gate is skipped; needs `reason`."""
    reason: str = ""
    """Reason why the gate is off; shown on every run."""

    @model_validator(mode="after")
    def _off_has_reason(self) -> Self:
        if self.off and not self.reason:
            raise ValueError("a gate that is off needs a reason, which is shown on every run")
        return self


class GatesPolicy(PolicyModel):
    """`[gates]`: one table per gate; a gate that is not named has the defaults."""

    prd: GatePolicy = GatePolicy()
    change: GatePolicy = GatePolicy()
    release: GatePolicy = GatePolicy()
    promotion: GatePolicy = GatePolicy()
    budget: GatePolicy = GatePolicy()
    """Opens when a budget is used up; an approval grants as much again."""
    permission: GatePolicy = GatePolicy()
    """Opens when an agent wants to run a command that `[permissions] commands` has a person asked about."""

    @field_validator(*INTERRUPT_GATES)
    @classmethod
    def _is_on(cls, gate: GatePolicy) -> GatePolicy:
        if gate.off:
            raise ValueError("cannot be off: set no budget, or allow the command, where nobody is to be asked")
        return gate

    def named(self, gate: GateName) -> GatePolicy:
        """The policy of one gate."""
        policy: GatePolicy = getattr(self, gate)
        return policy
