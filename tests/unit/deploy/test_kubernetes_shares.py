"""Shares as tables: what routes have to say for them, how many replicas they are, and what a Rollout makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from phasegate.infra.deploy.kubernetes.argo import next_weight, own_weight, phase, promotion
from phasegate.infra.deploy.kubernetes.canary.manifests import canary_replicas, carrying_replicas
from phasegate.infra.deploy.kubernetes.canary.routes import route_accepted, services_behind, shares, weighted

CANARIES = {"shop": "shop-canary"}


def route(*rules: list[dict[str, Any]], **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "shop", "generation": 3},
        "spec": {"rules": [{"backendRefs": rule} for rule in rules]},
        "status": status,
    }


def backends(found: dict[str, Any]) -> list[list[tuple[str, int]]]:
    return [[(one["name"], one.get("weight", 1)) for one in rule["backendRefs"]] for rule in found["spec"]["rules"]]


SHOP = {"name": "shop", "port": 80}


@pytest.mark.parametrize(
    ("rule", "percent", "expected", "read"),
    [
        pytest.param([SHOP], 25, [("shop", 75), ("shop-canary", 25)], [25], id="one backend"),
        pytest.param([SHOP], 0, [("shop", 1)], [0], id="no share"),
        pytest.param([SHOP], 100, [("shop", 0), ("shop-canary", 100)], [100], id="all of it"),
        pytest.param([{**SHOP, "weight": 3}], 10, [("shop", 270), ("shop-canary", 30)], [10], id="a weight of its own"),
        pytest.param(
            [SHOP, {"name": "old", "weight": 3}],
            20,
            [("shop", 80), ("shop-canary", 20), ("old", 300)],
            [20],
            id="beside another, whose part stays",
        ),
        pytest.param([{"name": "old"}], 20, [("old", 1)], [], id="a rule that leads elsewhere"),
        pytest.param([{**SHOP, "namespace": "other"}], 20, [("shop", 1)], [], id="of another namespace"),
        pytest.param([{**SHOP, "weight": 0}], 20, [("shop", 0), ("shop-canary", 0)], [], id="one that gets nothing"),
    ],
)
def test_weights_divide_what_a_rule_led_to(
    rule: list[dict[str, Any]], percent: int, expected: list[tuple[str, int]], read: list[float]
):
    given = route(rule)
    found = weighted(given, CANARIES, percent)
    assert backends(found) == [expected]
    assert shares(found, CANARIES) == read
    assert given == route(rule), "what was given stays as it is"


def test_only_services_of_its_own_namespace_are_behind_a_route():
    given = route([SHOP, {"name": "x", "namespace": "y"}], [{"name": "bucket", "group": "storage", "kind": "Bucket"}])
    assert services_behind(given) == {"shop"}


def heard(kind: str = "Accepted", status: str = "True", generation: int = 3) -> dict[str, Any]:
    accepted = {"type": "Accepted", "status": "True", "observedGeneration": generation}
    other = {"type": kind, "status": status, "reason": "Why", "message": "because", "observedGeneration": generation}
    return {"controllerName": "x/gateway", "conditions": [accepted, other]}


@pytest.mark.parametrize(
    ("parents", "says"),
    [
        pytest.param([], "no gateway has taken it up", id="nobody"),
        pytest.param([heard(generation=2)], "x/gateway has not seen it yet", id="an earlier generation"),
        pytest.param([heard(), heard(generation=2)], "has not seen it yet", id="one of two"),
        pytest.param([heard("ResolvedRefs", "False")], "ResolvedRefs is False: Why: because", id="no such backend"),
        pytest.param([heard("Accepted", "False")], "Accepted is False", id="refused"),
        pytest.param([heard("ResolvedRefs")], "", id="routes by it"),
    ],
)
def test_a_weight_counts_once_gateways_route_by_it(parents: list[dict[str, Any]], says: str):
    found = route_accepted(route([SHOP], parents=parents))
    assert says in found
    assert bool(says) == bool(found)


@pytest.mark.parametrize(
    ("beside", "percent", "shared", "carrying"),
    [(3, 0, 0, 1), (3, 10, 1, 1), (3, 50, 3, 2), (1, 1, 1, 1), (10, 25, 4, 3), (4, 99, 396, 4), (0, 50, 1, 1)],
)
def test_replicas_make_up_a_share_or_carry_it(beside: int, percent: int, shared: int, carrying: int):
    assert (canary_replicas(beside, percent), carrying_replicas(beside, percent)) == (shared, carrying)


PAUSE: dict[str, Any] = {"pause": {}}
TIMED: dict[str, Any] = {"pause": {"duration": "10m"}}
STEPS = [{"setWeight": 20}, PAUSE, {"setWeight": 40}, TIMED, {"analysis": {}}, PAUSE, {"setWeight": 60}]


@dataclass(frozen=True)
class Standing:
    """Status of a Rollout, and its meaning."""

    name: str
    status: dict[str, Any]
    own: int | None
    next: int | None
    strategy: dict[str, Any] = field(default_factory=lambda: {"canary": {"steps": STEPS}})


def at(index: int, **more: Any) -> dict[str, Any]:
    return {"currentStepIndex": index, "stableRS": "a", "currentPodHash": "b", **more}


STANDINGS = [
    Standing("before its first step", at(0), 20, None),
    Standing("at a pause", at(1), 20, 40),
    Standing("at a pause that ends by itself", at(3), 40, None),
    Standing("at an analysis", at(4), 40, None),
    Standing("at a later pause", at(5), 40, 60),
    Standing("past its steps", at(7), 100, None),
    Standing("aborted", at(1, abort=True), 0, 40),
    Standing("promoted", at(7, currentPodHash="a"), 100, None),
    Standing("without steps", at(0), 100, None, {"canary": {}}),
    Standing("blue and green", at(0), None, None, {"blueGreen": {}}),
]


@pytest.mark.parametrize("standing", STANDINGS, ids=lambda one: one.name)
def test_a_rollouts_own_steps_make_its_shares(standing: Standing):
    rollout = {"metadata": {"generation": 1}, "spec": {"strategy": standing.strategy}, "status": standing.status}
    assert (own_weight(rollout), next_weight(rollout)) == (standing.own, standing.next)


def rollout_of(generation: int = 2, **status: Any) -> dict[str, Any]:
    return {"metadata": {"generation": generation}, "spec": {"strategy": {}}, "status": status}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (rollout_of(), "Progressing"),
        (rollout_of(observedGeneration="1", phase="Healthy"), "Progressing"),
        (rollout_of(observedGeneration="2", phase="Healthy"), "Healthy"),
        (rollout_of(observedGeneration="2", phase="Paused", controllerPause=True, pauseConditions=[{}]), "Paused"),
        (rollout_of(observedGeneration="2", phase="Paused", controllerPause=True), "Progressing"),
        (rollout_of(observedGeneration="6f9c", phase="Healthy"), "Progressing"),
    ],
)
def test_a_phase_is_of_what_its_controller_has_seen(found: dict[str, Any], expected: str):
    assert phase(found).name == expected


PAUSED = at(1, observedGeneration="2", pauseConditions=[{}])


@pytest.mark.parametrize(
    ("status", "full", "expected"),
    [
        pytest.param(PAUSED, False, {"pauseConditions": None}, id="its pause is ended"),
        pytest.param(at(4, observedGeneration="2"), False, {}, id="an analysis is its own"),
        pytest.param(at(4, observedGeneration="1"), True, {}, id="not before it has seen its spec"),
        pytest.param(
            PAUSED, True, {"abort": False, "promoteFull": True, "pauseConditions": None}, id="a way back skips all"
        ),
        pytest.param({**PAUSED, "promoteFull": True}, True, {}, id="it is said once"),
        pytest.param({**PAUSED, "currentPodHash": "a"}, True, {}, id="there is nothing left"),
        pytest.param({**PAUSED, "stableRS": ""}, True, {}, id="a first one has no steps"),
    ],
)
def test_a_promotion_says_what_is_missing(status: dict[str, Any], full: bool, expected: dict[str, object]):
    assert promotion(rollout_of(**status), full=full) == expected
