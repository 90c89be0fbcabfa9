"""The target `kubernetes` against a real API server: what a release changes, what goes wrong, and the way back."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tests.integration.deploy.in_namespace import DEPLOYMENT, SERVICE, Namespace, limited, release, target_in
from tests.kubernetes import KubernetesServer, kubernetes_target, manifests

from phasegate.infra.deploy.kubernetes.api.errors import FieldConflict
from phasegate.infra.deploy.kubernetes.apply import Applier
from phasegate.infra.errors import ConfigError, DeployFailed, TargetRefused


async def test_a_first_release_is_previewed_whole_and_applied_as_phasegate(namespace: Namespace, tmp_path: Path):
    target = target_in(namespace, tmp_path)

    preview = await target.preview("one")
    assert "+++ wanted" in preview.changes
    assert "# Deployment/shop" in preview.changes
    assert "# Service/shop" in preview.changes
    assert namespace.live() is None, "a preview applies nothing"

    await target.start_candidate("r1", "one")
    assert namespace.live() is None, "what is rolled out in its place is only tried before"
    made = await target.cut_over("r1")

    live = namespace.live()
    assert live is not None
    assert live["metadata"]["annotations"]["phasegate.dev/release"] == "r1"
    assert {one["manager"] for one in live["metadata"]["managedFields"] if one["operation"] == "Apply"} == {"phasegate"}
    assert made.url == f"http://shop.{namespace.name}.svc:80"
    assert [check.name for check in made.checks] == ["dry-run", "rollout", "read-back"]
    assert made.checks[1].detail == "Deployment/shop: 2 of 2 replicas are available"
    second = await target.start_candidate("r2", "two")
    assert second.checks[0].detail == "the API server accepts 2 objects; before: Deployment/shop at revision 1"


async def test_a_preview_shows_what_changes_and_nothing_else(namespace: Namespace, tmp_path: Path):
    target = target_in(namespace, tmp_path)
    await release(target, "r1", "one")

    changed = [line for line in (await target.preview("two")).changes.splitlines() if line[:1] in "+-"]

    digest = f"@sha256:{'a' * 64}"
    assert changed == [
        "--- live",
        "+++ wanted",
        f"-      - image: one{digest}",
        f"+      - image: two{digest}",
    ]


async def test_no_value_of_a_secret_is_shown_or_kept_where_it_can_be_read(namespace: Namespace, tmp_path: Path):
    """Mutation tried: `difference` without `_hide_secrets`; the new value then stands in the plan."""

    def with_password(word: str) -> list[dict[str, Any]]:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"word": word}}
        return [secret, *manifests("one")]

    commits = {"old": with_password("hunter1"), "new": with_password("hunter2")}
    target = target_in(namespace, tmp_path, commits)
    await release(target, "r1", "old")

    preview = await target.preview("new")
    assert "‹hidden, another›" in preview.changes
    kept = namespace.http.get(f"/api/v1/namespaces/{namespace.name}/configmaps").text
    for text in (preview.changes, kept):
        assert "hunter" not in text
        assert "aHVudGVyM" not in text

    await release(target, "r2", "new")
    await target.restore("r1")
    login = namespace.live("api/v1/namespaces/{namespace}/secrets/login")
    assert login is not None
    assert login["data"]["word"] == "aHVudGVyMQ=="


async def test_what_a_release_brought_goes_with_it_and_what_it_left_out_comes_back(
    namespace: Namespace, tmp_path: Path
):
    def config(name: str) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}}

    commits = {"old": [*manifests("one"), config("before")], "new": [*manifests("two"), config("after")]}
    target = target_in(namespace, tmp_path, commits)
    configs = "api/v1/namespaces/{namespace}/configmaps"
    await release(target, "r1", "old")
    await release(target, "r2", "new")
    assert namespace.names(configs) & {"before", "after"} == {"after"}

    await target.restore("r1")
    assert namespace.names(configs) & {"before", "after"} == {"before"}
    assert namespace.image() == "one"

    await target.restore(None)
    assert namespace.names(configs) & {"before", "after"} == set()
    assert (namespace.live(), namespace.live(SERVICE)) == (None, None)


async def test_what_was_there_before_phasegate_is_taken_over_as_approved_and_put_back(
    namespace: Namespace, tmp_path: Path
):
    """Mutation tried: `_prepared` records nothing of others; the rollback then deletes the team's own Deployment."""
    theirs = manifests("theirs", replicas=1)[0]
    namespace.create("apis/apps/v1/namespaces/{namespace}/deployments", theirs)
    target = target_in(namespace, tmp_path)

    preview = await target.preview("one")
    assert any("containers" in one and "kubectl" in one for one in preview.taking)
    with pytest.raises(FieldConflict, match="owned by kubectl"):
        await target.start_candidate("r1", "one")
    await release(target, "r1", "one", preview.taking)
    assert namespace.image() == "one"

    await target.restore(None)

    live = namespace.live()
    assert live is not None
    assert (namespace.image(), live["spec"]["replicas"]) == ("theirs", 1)
    assert "phasegate.dev/release" not in live["metadata"].get("annotations", {})
    assert namespace.live(SERVICE) is None, "the Service came with the release"


async def test_what_was_there_before_phasegate_is_put_back_when_a_first_release_fails(
    namespace: Namespace, tmp_path: Path
):
    namespace.create("apis/apps/v1/namespaces/{namespace}/deployments", manifests("theirs", replicas=1)[0])
    target = target_in(namespace, tmp_path)
    preview = await target.preview("pull-fails")
    await target.start_candidate("r1", "pull-fails", taking=preview.taking)

    with pytest.raises(DeployFailed, match="image-pull") as failure:
        await target.cut_over("r1")

    assert failure.value.context["restored"] == "what was there before"
    assert namespace.image() == "theirs"


FAILURES = {
    "pull-fails": "image-pull",
    "crashes": "crash-loop",
    "slow": "progress-deadline",
}


@pytest.mark.parametrize("image", FAILURES)
async def test_a_release_that_does_not_come_up_is_named_and_put_back(namespace: Namespace, tmp_path: Path, image: str):
    """Mutation tried: `trouble` looks at no pods; the first two then wait for the progress deadline."""
    deadline = 2 if image == "slow" else 600
    target = target_in(namespace, tmp_path, {"bad": manifests(image, deadline=deadline)})
    await release(target, "r1", "one")
    await target.start_candidate("r2", "bad")

    with pytest.raises(DeployFailed, match="did not come up") as failure:
        await target.cut_over("r2")

    assert failure.value.context["reason"] == FAILURES[image]
    assert failure.value.context["restored"] == "r1"
    state = await target.status()
    assert state.current is not None
    assert (state.current.release_id, state.current.alive, namespace.image()) == ("r1", True, "one")


async def test_a_manifest_that_does_not_hold_is_refused_before_anything_is_applied(
    namespace: Namespace, tmp_path: Path
):
    wrong = manifests("one")
    wrong[0]["spec"]["replicas"] = -1
    target = target_in(namespace, tmp_path, {"wrong": wrong})
    with pytest.raises(DeployFailed, match="must be greater than or equal to 0") as failure:
        await target.start_candidate("r1", "wrong")
    assert failure.value.context["reason"] == "invalid"
    assert namespace.live(SERVICE) is None


async def test_no_namespace_is_a_question_for_people(kubernetes: KubernetesServer, tmp_path: Path):
    target = kubernetes_target(kubernetes, tmp_path, namespace="nowhere")
    with pytest.raises(TargetRefused, match='namespaces "nowhere" not found') as refused:
        await target.start_candidate("r1", "one")
    assert refused.value.context["reason"] == "namespace"
    assert "kubectl create namespace nowhere" in refused.value.remedy


async def test_a_quota_puts_back_what_served_and_asks(namespace: Namespace, tmp_path: Path):
    """Mutation tried: quota is no reason to ask; the run then ends as if the change were at fault."""
    target = target_in(namespace, tmp_path, {"more": manifests("two", replicas=4)})
    await release(target, "r1", "one")
    quota = {"metadata": {"name": "pods"}, "spec": {"hard": {"pods": "3"}}}
    namespace.create("api/v1/namespaces/{namespace}/resourcequotas", quota)
    await target.start_candidate("r2", "more")

    with pytest.raises(TargetRefused, match="exceeded quota") as refused:
        await target.cut_over("r2")

    assert (refused.value.context["reason"], refused.value.context["restored"]) == ("quota", "r1")
    assert namespace.image() == "one"


async def test_drift_voids_what_was_approved_and_is_asked_about(namespace: Namespace, tmp_path: Path):
    """Mutation tried: `revision` leaves the owned fields out; the approval then holds for another person's edit."""
    target = target_in(namespace, tmp_path)
    await release(target, "r1", "one")
    before = await target.status()
    assert (await target.status()).revision == before.revision

    namespace.edit({"spec": {"replicas": 3}})

    assert (await target.status()).revision != before.revision
    preview = await target.preview("two")
    assert preview.taking == ("Deployment/shop .spec.replicas (owned by kubectl-edit)",)
    with pytest.raises(FieldConflict, match=r"\.spec\.replicas \(owned by kubectl-edit\)"):
        await target.start_candidate("r2", "two")

    await release(target, "r3", "two", preview.taking)
    live = namespace.live()
    assert live is not None
    assert (namespace.image(), live["spec"]["replicas"]) == ("two", 2)


async def test_an_edit_while_a_release_serves_is_not_overwritten_by_a_rollback(namespace: Namespace, tmp_path: Path):
    target = target_in(namespace, tmp_path)
    await release(target, "r1", "one")
    await release(target, "r2", "two")
    namespace.edit({"spec": {"replicas": 5}})

    with pytest.raises(FieldConflict):
        await target.restore("r1")
    namespace.edit({"spec": {"replicas": 2}})  # they take it back
    state = await target.restore("r1")

    assert state.current is not None
    assert (state.current.release_id, namespace.image()) == ("r1", "one")


async def test_the_api_server_may_be_gone_during_a_rollout(namespace: Namespace, tmp_path: Path):
    """Mutation tried: `_ask` gives up at once; the release then fails for a restart of the control plane."""
    target = target_in(namespace, tmp_path)
    await target.start_candidate("r1", "one")
    cutting = asyncio.create_task(target.cut_over("r1"))
    while namespace.live() is None:  # noqa: ASYNC110  the cluster is another process: there is no event to wait for
        await asyncio.sleep(0.01)
    await asyncio.to_thread(namespace.server.stop_api)
    await asyncio.sleep(1)  # how long it is gone, not a wait for anything
    await asyncio.to_thread(namespace.server.start_api)

    made = await cutting

    assert made.checks[-1].name == "api-server"
    assert "did not answer for" in made.checks[-1].detail
    assert namespace.image() == "one"


class Died(BaseException):
    """The engine is killed here."""


@pytest.mark.parametrize("moment", ["apply", "roll_out", "delete_and_wait"])
async def test_an_engine_killed_between_apply_and_record_is_taken_up(
    namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
):
    target = target_in(namespace, tmp_path)
    await release(target, "r1", "one")
    await target.start_candidate("r2", "two")
    original = getattr(Applier, moment)

    async def die(self: Applier, *arguments: Any, **named: Any) -> None:
        await original(self, *arguments, **named)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(Applier, moment, die)
        with pytest.raises(Died):
            await target.cut_over("r2")
    assert namespace.image() == "two"
    state = await target.status()
    assert state.current is not None
    assert state.current.release_id == "r1", "nothing says that r2 serves"

    again = target_in(namespace, tmp_path)
    made = await again.cut_over("r2", over=["r1"])

    assert (made.release_id, made.previous, namespace.image()) == ("r2", "r1", "two")
    live = namespace.live()
    assert live is not None
    assert live["metadata"]["generation"] == 2, "the second apply changed nothing"
    assert await again.cut_over("r2") == made


async def test_a_rollback_is_taken_up_after_the_engine_was_killed_in_a_cut_over(
    namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    target = target_in(namespace, tmp_path)
    await target.start_candidate("r1", "one")

    async def die(self: Applier, *arguments: Any, **named: Any) -> str:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(Applier, "roll_out", die)
        with pytest.raises(Died):
            await target.cut_over("r1")
    assert namespace.image() == "one"

    assert (await target.restore(None)).current is None
    assert (namespace.live(), namespace.live(SERVICE)) == (None, None)


async def test_two_engines_take_turns(namespace: Namespace, tmp_path: Path):
    one, two = target_in(namespace, tmp_path), target_in(namespace, tmp_path)
    await asyncio.gather(one.start_candidate("r1", "one"), two.start_candidate("r2", "two"))
    await asyncio.gather(one.cut_over("r1"), two.cut_over("r2"))
    state = await one.status()
    assert state.current is not None
    names = {"r1": "one", "r2": "two"}
    assert namespace.image() == names[state.current.release_id]
    assert state.previous == ({"r1", "r2"} - {state.current.release_id}).pop()


async def test_a_canary_is_a_share_of_replicas_behind_the_same_service(namespace: Namespace, tmp_path: Path):
    commits = {name: manifests(name, replicas=6) for name in ("one", "two")}
    target = target_in(namespace, tmp_path, commits, strategy="canary", canary_percent=25)
    await release(target, "r1", "one")
    assert namespace.names() == {"shop"}, "there was nothing to run a canary beside"

    candidate = await target.start_candidate("r2", "two")

    canary = namespace.live(f"{DEPLOYMENT}-canary")
    service = namespace.live(SERVICE)
    assert canary is not None
    assert service is not None
    assert canary["spec"]["replicas"] == 2, "2 of 8 are 25 %"
    labels = canary["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert namespace.image() == "one"
    assert [check.name for check in candidate.checks] == ["dry-run", "canary"]

    await target.cut_over("r2")
    assert (namespace.names(), namespace.image()) == ({"shop"}, "two")


async def test_a_canary_that_is_stopped_leaves_what_serves_alone(namespace: Namespace, tmp_path: Path):
    target = target_in(namespace, tmp_path, strategy="canary")
    await release(target, "r1", "one")
    before = namespace.live()
    await target.start_candidate("r2", "two")

    await target.stop_candidate("r2")

    assert namespace.names() == {"shop"}
    assert before is not None
    after = namespace.live()
    assert after is not None
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


@pytest.mark.parametrize("strategy", ["rolling", "canary"])
async def test_the_rights_that_ship_are_enough(namespace: Namespace, tmp_path: Path, root: Path, strategy: str):
    environment = limited(namespace, root)
    target = kubernetes_target(
        namespace.server, tmp_path, namespace=namespace.name, environment=environment, strategy=strategy
    )
    await release(target, "r1", "one")
    await target.preview("two")
    await release(target, "r2", "two")
    await target.restore("r1")
    await target.restore(None)
    assert namespace.live() is None
    assert namespace.http.get("/api/v1/namespaces/default/secrets").status_code == 200
    with pytest.raises(TargetRefused):
        await dataclasses.replace(target._cluster, namespace="default").list("v1", "Pod", {})


async def test_a_right_that_is_missing_is_named_and_asked_for(namespace: Namespace, tmp_path: Path, root: Path):
    environment = limited(namespace, root, without="services")
    target = kubernetes_target(namespace.server, tmp_path, namespace=namespace.name, environment=environment)
    with pytest.raises(TargetRefused, match='cannot get resource "services"') as refused:
        await target.start_candidate("r1", "one")
    assert refused.value.context["reason"] == "forbidden"
    assert "infra/kubernetes/rbac.yaml" in refused.value.remedy


async def test_an_engine_without_a_kubeconfig_says_what_to_set(namespace: Namespace, tmp_path: Path):
    environment = {"KUBECONFIG": str(tmp_path / "none")}
    target = kubernetes_target(namespace.server, tmp_path, namespace=namespace.name, environment=environment)
    with pytest.raises(ConfigError, match="cannot be reached") as error:
        await target.status()
    assert "KUBECONFIG" in error.value.remedy
