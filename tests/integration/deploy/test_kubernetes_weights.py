"""Shares of the traffic on Kubernetes: by replicas, by the weights of an HTTPRoute, and what keeps them from being."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.integration.deploy.in_namespace import DEPLOYMENT, SERVICE, Namespace, limited, release, target_in
from tests.kubernetes import KubernetesServer, kubernetes_target, manifests
from tests.kubernetes_extensions import route

from phasegate.infra.deploy.kubernetes.api.errors import FieldConflict
from phasegate.infra.deploy.kubernetes.apply import Applier
from phasegate.infra.deploy.kubernetes.canary import candidates
from phasegate.infra.deploy.kubernetes.target import KubernetesTarget
from phasegate.infra.errors import DeployFailed, TargetRefused

ROUTE = "apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/shop"
COMMITS = {name: [*manifests(name, replicas=4), route()] for name in ("one", "two")}


@pytest.fixture
def routed(extended: KubernetesServer, namespace: Namespace) -> Namespace:
    """A namespace of a cluster with a gateway."""
    return namespace


def weights(namespace: Namespace) -> list[dict[str, int]]:
    live = namespace.live(ROUTE)
    assert live is not None
    return [{one["name"]: one["weight"] for one in rule["backendRefs"]} for rule in live["spec"]["rules"]]


def replicas(namespace: Namespace, name: str = "shop-canary") -> int:
    live = namespace.live(DEPLOYMENT.replace("/shop", f"/{name}"))
    assert live is not None
    return int(live["spec"]["replicas"])


async def begun(namespace: Namespace, tmp_path: Path, commits: dict[str, list[dict[str, Any]]]) -> KubernetesTarget:
    """A target whose `one` serves, and whose `two` is a candidate."""
    target = target_in(namespace, tmp_path, commits, strategy="canary")
    await release(target, "r1", "one")
    await target.start_candidate("r2", "two")
    return target


async def share_of(target: KubernetesTarget) -> float:
    (candidate,) = (await target.status()).candidates
    return candidate.weight


async def test_by_replicas_a_share_is_what_ready_pods_make_of_it(namespace: Namespace, tmp_path: Path):
    commits = {name: manifests(name, replicas=3) for name in ("one", "two")}
    target = await begun(namespace, tmp_path, commits)
    assert (replicas(namespace), await share_of(target)) == (1, 25), "the smallest share there is"

    half = await target.set_weight("r2", 50)
    assert (half.wanted, half.actual, half.detail) == (50, 50, "3 of 6 ready replicas")
    assert (replicas(namespace), replicas(namespace, "shop"), await share_of(target)) == (3, 3, 50)

    tenth = await target.set_weight("r2", 10)
    assert (tenth.wanted, tenth.actual, tenth.detail) == (10, 25, "1 of 4 ready replicas")
    assert await target.set_weight("r2", 10) == tenth

    assert (await target.set_weight("r2", 0)).actual == 0
    assert replicas(namespace) == 0
    with pytest.raises(TargetRefused, match="cannot let a candidate take a share") as refused:
        await target.set_weight("r2", 100)
    assert "cut-over" in refused.value.remedy


async def test_where_steps_say_the_shares_a_canary_begins_with_the_smallest(namespace: Namespace, tmp_path: Path):
    commits = {name: manifests(name, replicas=3) for name in ("one", "two")}
    steps = [{"set_weight": 50}]
    target = target_in(namespace, tmp_path, commits, strategy="canary", canary_percent=50, steps=steps)
    await release(target, "r1", "one")
    await target.start_candidate("r2", "two")
    assert replicas(namespace) == 1


async def test_replicas_that_do_not_come_up_are_no_share(namespace: Namespace, tmp_path: Path):
    target = await begun(namespace, tmp_path, {name: manifests(name, replicas=3) for name in ("one", "two")})
    quota = {"metadata": {"name": "pods"}, "spec": {"hard": {"pods": "5"}}}
    namespace.create("api/v1/namespaces/{namespace}/resourcequotas", quota)

    with pytest.raises(TargetRefused, match="exceeded quota") as refused:
        await target.set_weight("r2", 50)

    assert refused.value.context["reason"] == "quota"
    assert replicas(namespace) == 1, "it has what it had"
    await target.stop_candidate("r2")
    assert namespace.names() == {"shop"}


async def test_by_a_route_a_candidate_gets_just_its_share_through_a_service_of_its_own(
    routed: Namespace, tmp_path: Path
):
    target = await begun(routed, tmp_path, COMMITS)
    services = {one: routed.live(SERVICE.replace("/shop", f"/{one}")) for one in ("shop", "shop-canary")}
    canary = routed.live(f"{DEPLOYMENT}-canary")
    assert canary is not None
    labels = canary["spec"]["template"]["metadata"]["labels"].items()
    reaches = {name: one["spec"]["selector"].items() <= labels for name, one in services.items() if one}
    assert reaches == {"shop": False, "shop-canary": True}
    assert weights(routed) == [{"shop": 1}, {"shop": 1}]
    assert await share_of(target) == 0
    before = (await target.status()).revision

    quarter = await target.set_weight("r2", 25)
    assert (quarter.actual, quarter.detail) == (25, "by the weights of HTTPRoute/shop")
    assert weights(routed) == [{"shop": 75, "shop-canary": 25}] * 2
    most = await target.set_weight("r2", 90)
    assert (most.actual, replicas(routed), replicas(routed, "shop")) == (90, 4, 4)
    live = routed.live(ROUTE)
    assert live is not None
    owners = {one["manager"] for one in live["metadata"]["managedFields"] if "f:spec" in one["fieldsV1"]}
    assert owners == {"phasegate"}
    assert (await target.status()).revision == before, "what serves is as it was approved"

    await target.set_weight("r2", 0)
    assert weights(routed) == [{"shop": 1}, {"shop": 1}]
    assert replicas(routed) == 1


async def test_a_candidate_that_is_stopped_gives_all_back_before_its_pods_go(
    routed: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    target = await begun(routed, tmp_path, COMMITS)
    await target.set_weight("r2", 25)
    seen: list[list[dict[str, int]]] = []
    original = Applier.delete_and_wait

    async def look(self: Applier, refs: Any) -> None:
        seen.append(weights(routed))
        await original(self, refs)

    with monkeypatch.context() as patch:
        patch.setattr(Applier, "delete_and_wait", look)
        await target.stop_candidate("r2")

    assert seen == [[{"shop": 1}, {"shop": 1}]]
    assert routed.names() == {"shop"}
    assert routed.live(f"{SERVICE}-canary") is None
    assert weights(routed) == [{"shop": 1}, {"shop": 1}]


async def test_the_cut_over_ends_the_share_and_a_failed_one_gives_it_back(routed: Namespace, tmp_path: Path):
    bad = {"bad": [*manifests("sick-in-place", replicas=4), route()]}
    target = target_in(routed, tmp_path, {**COMMITS, **bad}, strategy="canary")
    await release(target, "r1", "one")
    await target.start_candidate("r2", "bad")
    await target.set_weight("r2", 50)

    with pytest.raises(DeployFailed, match="crash-loop"):
        await target.cut_over("r2")
    assert (weights(routed), routed.image()) == ([{"shop": 1}, {"shop": 1}], "one")
    await target.stop_candidate("r2")

    await target.start_candidate("r3", "two")
    await target.set_weight("r3", 50)
    await target.cut_over("r3")
    assert (weights(routed), routed.image()) == ([{"shop": 1}, {"shop": 1}], "two")
    assert routed.names() == {"shop"}
    assert (await target.restore("r1")).current is not None
    assert (weights(routed), routed.image()) == ([{"shop": 1}, {"shop": 1}], "one")


async def test_weights_that_somebody_else_has_taken_are_asked_about(routed: Namespace, tmp_path: Path):
    target = await begun(routed, tmp_path, COMMITS)
    backends = [{"name": "shop", "port": 80}, {"name": "old", "port": 80}]
    theirs: dict[str, Any] = {"spec": {"rules": [{"backendRefs": backends}]}}
    routed.edit(theirs, ROUTE, manager="flagger")

    with pytest.raises(FieldConflict, match=r"HTTPRoute/shop \.spec\.rules \(owned by flagger\)"):
        await target.set_weight("r2", 25)

    assert weights(routed) == [{"shop": 1, "old": 1}]
    backends[1]["name"] = "shop-canary"
    routed.edit(theirs, ROUTE, manager="flagger")
    with pytest.raises(FieldConflict):
        await target.stop_candidate("r2")
    assert "shop-canary" in routed.names(), "their route leads there"

    backends[1]["name"] = "old"
    routed.edit(theirs, ROUTE, manager="flagger")
    await target.stop_candidate("r2")
    assert (routed.names(), weights(routed)) == ({"shop"}, [{"shop": 1, "old": 1}])


async def test_a_route_that_no_gateway_takes_up_is_no_share(routed: Namespace, tmp_path: Path):
    commits = {name: [*manifests(name), route(host="nobody.example")] for name in ("one", "two")}
    target = target_in(routed, tmp_path, commits, strategy="canary", rollout_timeout="2s")
    await release(target, "r1", "one")
    await target.start_candidate("r2", "two")

    with pytest.raises(DeployFailed, match="no gateway has taken it up") as failure:
        await target.set_weight("r2", 25)

    assert failure.value.context["reason"] == "weights"
    await target.stop_candidate("r2")
    assert weights(routed) == [{"shop": 1}, {"shop": 1}]


async def test_a_canary_takes_no_name_that_is_somebody_elses(routed: Namespace, tmp_path: Path):
    theirs = manifests("theirs")[1]
    theirs["metadata"]["name"] = "shop-canary"
    target = target_in(routed, tmp_path, COMMITS, strategy="canary")
    await release(target, "r1", "one")
    routed.create("api/v1/namespaces/{namespace}/services", theirs)

    with pytest.raises(TargetRefused, match="Service/shop-canary is somebody else's"):
        await target.start_candidate("r2", "two")

    await target.stop_candidate("r2")
    assert routed.live(f"{SERVICE}-canary") is not None


class Died(BaseException):
    """The engine is killed here."""


async def test_an_engine_killed_while_it_shifts_leaves_what_can_be_taken_up_and_taken_back(
    routed: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    target = await begun(routed, tmp_path, COMMITS)

    async def die(*_arguments: Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(candidates, "share_of", die)
        with pytest.raises(Died):
            await target.set_weight("r2", 25)
    assert weights(routed) == [{"shop": 75, "shop-canary": 25}] * 2

    again = target_in(routed, tmp_path, COMMITS, strategy="canary")
    assert (await again.start_candidate("r2", "two")).release_id == "r2"
    assert (await again.set_weight("r2", 25)).actual == 25
    await again.stop_candidate("r2")
    assert (weights(routed), routed.names()) == ([{"shop": 1}, {"shop": 1}], {"shop"})


async def test_the_rights_that_ship_are_enough_for_weights_and_each_of_them_is_needed(
    routed: Namespace, tmp_path: Path, root: Path
):
    environment = limited(routed, root)
    target = target_in(routed, tmp_path, COMMITS, strategy="canary", environment=environment)
    await release(target, "r1", "one")
    await target.start_candidate("r2", "two")
    assert (await target.set_weight("r2", 50)).actual == 50
    await target.stop_candidate("r2")
    await target.restore(None)
    assert routed.live(ROUTE) is None


async def test_weights_need_the_right_to_routes(routed: Namespace, tmp_path: Path, root: Path):
    environment = limited(routed, root, without="httproutes")
    target = target_in(routed, tmp_path, COMMITS, strategy="canary", environment=environment)
    with pytest.raises(TargetRefused, match='cannot get resource "httproutes"') as refused:
        await target.start_candidate("r1", "one")
    assert refused.value.context["reason"] == "forbidden"


async def test_a_cluster_without_the_gateway_api_says_so_before_anything_is_applied(
    namespace: Namespace, tmp_path: Path
):
    unknown = [*manifests("one"), {**route(), "apiVersion": "gateway.networking.k8s.io/v1alpha1"}]
    target = kubernetes_target(namespace.server, tmp_path, namespace=namespace.name, commits={"one": unknown})
    with pytest.raises(DeployFailed, match="HTTPRoute is not known to the cluster") as failure:
        await target.start_candidate("r1", "one")
    assert failure.value.context["reason"] == "invalid"
    assert namespace.names() == set()
