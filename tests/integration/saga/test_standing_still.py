"""Past a migration nothing is undone, and no traffic is left between two versions while a person is waited for (P6)."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typing_extensions import override

from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.effects.migrations import route_all_traffic_to_current
from phasegate.infra.deploy.memory import InMemoryTarget
from phasegate.infra.deploy.target import Weight
from phasegate.infra.errors import PhasegateError, TargetRefused, TargetUnavailable
from phasegate.infra.ledger import Effect

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Unwilling(InMemoryTarget):
    """Shifts no traffic any more."""

    why: PhasegateError = TargetRefused()

    @override
    async def set_weight(self, release_id: str, percent: int) -> Weight:
        raise self.why


def did(*kinds: str) -> list[Effect]:
    """Effects of a run that releases `new`."""
    return [
        Effect(
            id=kind,
            run_id="run-1",
            position=number,
            kind=kind,
            key=f"run-1/{kind}",
            intent={"release_id": "new"},
            effect_class="reversible",
            compensation="",
            status="done",
            result={},
            undo_result=None,
            intended_at=NOW,
            done_at=NOW,
            undone_at=None,
        )
        for number, kind in enumerate(kinds)
    ]


async def canary(target: InMemoryTarget) -> RunContext:
    """A run whose candidate takes 40 % of the traffic."""
    await target.start_candidate("old", "c0")
    await target.cut_over("old")
    await target.start_candidate("new", "c1")
    await InMemoryTarget.set_weight(target, "new", 40)
    return cast("RunContext", SimpleNamespace(world=SimpleNamespace(target=target)))


async def weights(target: InMemoryTarget) -> list[float]:
    return [one.weight for one in (await target.status()).candidates]


async def test_before_the_cut_over_all_traffic_goes_to_the_release_before() -> None:
    """Untried mutation: `route_all_traffic_to_current` without `set_weight`."""
    target = InMemoryTarget("shop")
    run = await canary(target)
    assert await weights(target) == [40]
    assert await route_all_traffic_to_current(run, did("merge", "candidate", "weight", "migrate")) == ""
    assert await weights(target) == [0]


@pytest.mark.parametrize("kinds", [("merge",), ("merge", "candidate", "migrate", "cut-over")])
async def test_without_a_candidate_beside_nothing_is_shifted(kinds: Any) -> None:
    target = InMemoryTarget("shop")
    run = await canary(target)
    assert await route_all_traffic_to_current(run, did(*kinds)) == ""
    assert await weights(target) == [40]


async def test_a_target_that_shifts_nothing_has_nothing_to_give_back_and_one_that_is_away_is_told_of() -> None:
    target = Unwilling("shop")
    run = await canary(target)
    assert await route_all_traffic_to_current(run, did("candidate", "migrate")) == ""
    target.why = TargetUnavailable("nobody answers")
    said = await route_all_traffic_to_current(run, did("candidate", "migrate"))
    assert said == "the candidate may still take a share of the traffic: nobody answers"
