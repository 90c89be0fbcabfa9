"""An Argo Rollout is driven, not replaced: its controller shifts traffic by its steps, phasegate says when.

The controller is a stand-in (`tests/kubernetes_extensions.py`); the API server and the ReplicaSets are real.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.integration.deploy.in_namespace import Namespace, limited, target_in
from tests.integration.deploy.in_namespace import release as released
from tests.kubernetes import KubernetesServer
from tests.kubernetes_extensions import rollout

from phasegate.infra.deploy.kubernetes.target import KubernetesTarget
from phasegate.infra.errors import DeployFailed, TargetRefused

ROLLOUT = "apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts/shop"
PAUSE: dict[str, Any] = {"pause": {}}
STEPS = ({"setWeight": 25}, PAUSE, {"setWeight": 50}, PAUSE)


@pytest.fixture
def driven(extended: KubernetesServer, namespace: Namespace) -> Namespace:
    """A namespace of a cluster with Argo's controller."""
    return namespace


def commits(*steps: dict[str, Any], **canary: Any) -> dict[str, list[dict[str, Any]]]:
    return {name: rollout(name, *steps, **canary) for name in ("one", "two", "sick")}


async def begun(namespace: Namespace, tmp_path: Path, *steps: dict[str, Any], **canary: Any) -> KubernetesTarget:
    """A target whose `one` serves, and whose `two` is a candidate."""
    target = target_in(namespace, tmp_path, commits(*steps, **canary), strategy="canary", rollout_timeout="20s")
    await released(target, "r1", "one")
    await target.start_candidate("r2", "two")
    return target


def status(namespace: Namespace) -> dict[str, Any]:
    live = namespace.live(ROLLOUT)
    assert live is not None
    found: dict[str, Any] = live["status"]
    return found


def image(namespace: Namespace) -> str:
    live = namespace.live(ROLLOUT)
    assert live is not None
    return str(live["spec"]["template"]["spec"]["containers"][0]["image"]).partition("@")[0]


async def test_a_candidate_is_its_canary_which_takes_the_shares_of_its_own_steps(driven: Namespace, tmp_path: Path):
    target = await begun(driven, tmp_path, *STEPS)
    (candidate,) = (await target.status()).candidates
    assert (candidate.release_id, candidate.weight) == ("r2", 25)
    assert "1 of 4 ready replicas" in candidate.detail
    assert driven.names() == set(), "no Deployment of ours stands beside it"

    assert (await target.set_weight("r2", 25)).actual == 25
    half = await target.set_weight("r2", 50)
    assert (half.actual, half.detail) == (50, "2 of 4 ready replicas")
    made = await target.cut_over("r2")

    now = status(driven)
    assert (now["phase"], now["stableRS"]) == ("Healthy", now["currentPodHash"])
    assert image(driven) == "two"
    assert made.checks[-2].detail == "Rollout/shop: 4 of 4 replicas are available"


async def test_where_its_controller_decides_a_share_is_refused(driven: Namespace, tmp_path: Path):
    timed = ({"setWeight": 25}, {"pause": {"duration": "1h"}}, {"setWeight": 50}, PAUSE)
    target = await begun(driven, tmp_path, *timed)
    for percent in (50, 40, 10):
        with pytest.raises(TargetRefused, match=r"its own steps decide \(setWeight 25, pause") as refused:
            await target.set_weight("r2", percent)
        assert refused.value.context["reason"] == "rollout-steps"
    assert status(driven)["phase"] == "Paused"
    assert (await target.set_weight("r2", 25)).actual == 25


async def test_a_traffic_routers_share_is_read_from_its_status(driven: Namespace, tmp_path: Path):
    target = await begun(driven, tmp_path, *STEPS, trafficRouting={"plugins": {}})
    quarter = await target.set_weight("r2", 25)
    assert (quarter.actual, quarter.detail) == (25, "as its traffic router says")
    await target.stop_candidate("r2")
    assert image(driven) == "one"


async def test_a_candidate_that_is_stopped_is_aborted_and_what_served_is_put_back(driven: Namespace, tmp_path: Path):
    target = await begun(driven, tmp_path, *STEPS)
    await target.set_weight("r2", 50)
    stable = status(driven)["stableRS"]

    await target.stop_candidate("r2")

    now = status(driven)
    assert (now["phase"], now["stableRS"], now["currentPodHash"], image(driven)) == ("Healthy", stable, stable, "one")
    state = await target.status()
    assert state.current is not None
    assert (state.current.release_id, state.current.alive, state.candidates) == ("r1", True, ())


async def test_all_of_its_share_is_given_back_by_an_abort(driven: Namespace, tmp_path: Path):
    target = await begun(driven, tmp_path, *STEPS)
    none = await target.set_weight("r2", 0)
    assert none.actual == 0
    assert (status(driven)["phase"], status(driven)["abort"]) == ("Degraded", True)
    with pytest.raises(DeployFailed, match="RolloutAborted"):
        await target.set_weight("r2", 25)
    await target.stop_candidate("r2")
    assert (status(driven)["phase"], image(driven)) == ("Healthy", "one")


async def test_a_way_back_skips_its_steps(driven: Namespace, tmp_path: Path):
    holding = ({"setWeight": 25}, PAUSE, {"analysis": {"holds": True}})
    target = target_in(driven, tmp_path, commits(*holding), rollout_timeout="20s")
    steady = target_in(driven, tmp_path, {"two": rollout("two", {"setWeight": 25})})
    await released(target, "r1", "one")
    await released(steady, "r2", "two")

    state = await target.restore("r1")

    assert state.current is not None
    assert (state.current.release_id, status(driven)["phase"], image(driven)) == ("r1", "Healthy", "one")


async def test_an_analysis_of_its_own_that_fails_takes_the_release_back(driven: Namespace, tmp_path: Path):
    failing = ({"setWeight": 25}, PAUSE, {"analysis": {"fails": True}})
    target = await begun(driven, tmp_path, *failing)

    with pytest.raises(DeployFailed, match="RolloutAborted") as failure:
        await target.cut_over("r2")

    assert (failure.value.context["reason"], failure.value.context["restored"]) == ("rollout-aborted", "r1")
    assert (status(driven)["phase"], image(driven)) == ("Healthy", "one")


async def test_a_canary_that_crashes_is_named_and_put_back(driven: Namespace, tmp_path: Path):
    target = target_in(driven, tmp_path, commits(*STEPS), strategy="canary", rollout_timeout="20s")
    await released(target, "r1", "one")

    with pytest.raises(DeployFailed, match="did not come up") as failure:
        await target.start_candidate("r2", "sick")

    assert failure.value.context["reason"] == "crash-loop"
    assert (status(driven)["phase"], image(driven), (await target.status()).candidates) == ("Healthy", "one", ())


async def test_the_rights_that_ship_are_enough_for_rollouts(driven: Namespace, tmp_path: Path, root: Path):
    environment = limited(driven, root)
    target = target_in(driven, tmp_path, commits(*STEPS), strategy="canary", environment=environment)
    await released(target, "r1", "one")
    await target.start_candidate("r2", "two")
    assert (await target.set_weight("r2", 50)).actual == 50
    await target.cut_over("r2")
    await target.restore("r1")
    await target.restore(None)
    assert driven.live(ROLLOUT) is None


async def test_a_promotion_needs_the_right_to_say_so(driven: Namespace, tmp_path: Path, root: Path):
    environment = limited(driven, root, without="rollouts/status")
    target = target_in(driven, tmp_path, commits(*STEPS), strategy="canary", environment=environment)
    await released(target, "r1", "one")
    await target.start_candidate("r2", "two")
    with pytest.raises(TargetRefused, match="rollouts/status") as refused:
        await target.set_weight("r2", 50)
    assert refused.value.context["reason"] == "forbidden"
