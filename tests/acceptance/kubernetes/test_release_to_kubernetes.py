"""A repository with Kubernetes manifests and nothing else configured, as a person with the command line sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.acceptance.lifecycle import conftest as lifecycle
from tests.acceptance.lifecycle.conftest import IMPLEMENTATION, Project, edit, git, script
from tests.kubernetes import KubernetesServer, manifests
from tests.machine import Machine
from tests.quick_machine import quick_machine

whole = lifecycle.project
pytestmark = pytest.mark.timeout(900)  # an engine and a control plane start in the first of them


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, kubernetes: KubernetesServer) -> Iterator[Machine]:
    """A machine whose engine reaches the cluster."""
    reaching = {"KUBECONFIG": str(kubernetes.kubeconfig)}
    with quick_machine(tmp_path_factory.mktemp("machine"), reaching) as machine:
        yield machine


@pytest.fixture
def namespace(kubernetes: KubernetesServer) -> str:
    return kubernetes.new_namespace()


@pytest.fixture
def project(whole: Project, machine: Machine, namespace: str) -> Project:
    """A project with manifests, and with the policy that `phasegate init` writes."""
    (whole.top / "phasegate.toml").unlink()
    (whole.top / "k8s").mkdir()
    for manifest in manifests("old"):
        manifest["metadata"]["namespace"] = namespace
        (whole.top / "k8s" / f"{manifest['kind'].lower()}.yaml").write_text(yaml.safe_dump(manifest))
    made = machine.phasegate("init", "--repo", whole.top)
    assert made.code == 0, made.err
    git(whole.top, "add", "-A")
    git(whole.top, "commit", "-qm", "Manifests and a policy")
    return whole


def start(machine: Machine, project: Project, image: str) -> dict[str, Any]:
    """Run a ticket whose change has another image run, up to gate `release`."""
    *work, end = IMPLEMENTATION
    turns = [*work[:-1], edit("k8s/deployment.yaml", "image: old@", f"image: {image}@"), work[-1], end]
    order = ("run", project.ticket, "--repo", project.top, "--rehearse", project.script(script(implementation=turns)))
    result = machine.phasegate(*order, "--approve", "prd", "--approve", "change", "--json")
    assert result.code == 3, result.err + result.out
    return machine.stops(result.json["id"])


def live(server: KubernetesServer, namespace: str) -> dict[str, Any] | None:
    with server.http() as http:
        answer = http.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/shop")
    return answer.json() if answer.status_code == 200 else None


def image_of(deployment: dict[str, Any] | None) -> str:
    assert deployment is not None
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"]).partition("@")[0]


def plan_of(shown: dict[str, Any]) -> dict[str, Any]:
    made = [one["artifact"] for one in shown["stages"] if one["artifact"]]
    (plan,) = [one["content"] for one in made if one["kind"] == "release-plan"]
    found: dict[str, Any] = plan
    return found


def test_a_change_is_released_as_the_approved_diff_says(
    machine: Machine, project: Project, kubernetes: KubernetesServer, namespace: str
) -> None:
    shown = start(machine, project, "new")
    assert [(gate["gate"], gate["status"]) for gate in shown["gates"]][-1] == ("release", "open")
    diff = plan_of(shown)["changes"]
    assert f"+      - image: new@sha256:{'a' * 64}" in diff
    assert not [line for line in diff.splitlines() if line.startswith("-") and line != "--- nothing"]
    assert "What changes on the target" in machine.phasegate("show", shown["id"]).out
    assert live(kubernetes, namespace) is None

    assert machine.phasegate("approve", shown["id"]).code == 0
    shown = machine.stops(shown["id"])

    assert shown["status"] == "done", shown["reason"]
    assert image_of(live(kubernetes, namespace)) == "new"
    assert shown["release"]["url"] == f"http://shop.{namespace}.svc:80"
    assert machine.phasegate("audit", shown["id"]).code == 0
    states = {state["current"]["release_id"]: state for state in machine.phasegate("status", "--json").json["services"]}
    assert states[shown["id"]]["current"]["detail"] == "Deployment/shop: 2 of 2 replicas are available"
    assert machine.phasegate("rollback", shown["id"]).code in {0, 4}
    machine.until(shown["id"], lambda now: now["status"] == "rolled-back")
    assert live(kubernetes, namespace) is None


def test_a_bad_image_ends_rolled_back_with_what_the_team_had_before(
    machine: Machine, project: Project, kubernetes: KubernetesServer, namespace: str
) -> None:
    theirs = manifests("theirs", replicas=1)[0]
    with kubernetes.http() as http:
        place = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        http.post(place, json=theirs, params={"fieldManager": "kubectl"}).raise_for_status()

    shown = start(machine, project, "pull-fails")

    changed = [line for line in plan_of(shown)["changes"].splitlines() if line[:1] in "+-"]
    assert f"-      - image: theirs@sha256:{'a' * 64}" in changed
    assert f"+      - image: pull-fails@sha256:{'a' * 64}" in changed
    assert any("owned by kubectl" in one for one in plan_of(shown)["taking"])
    assert machine.phasegate("approve", shown["id"]).code == 0
    shown = machine.stops(shown["id"])

    assert shown["reason"]["context"].get("reason") == "image-pull", shown["reason"]
    assert shown["status"] == "rolled-back"
    assert image_of(live(kubernetes, namespace)) == "theirs"
    assert machine.phasegate("watch", shown["id"]).code == 4
    assert [(effect["kind"], effect["status"]) for effect in shown["effects"]] == [
        ("merge", "undone"),
        ("candidate", "undone"),
        ("cut-over", "undone"),
    ]


def test_an_image_by_its_tag_stops_before_any_work(machine: Machine, project: Project, tmp_path: Path) -> None:
    path = project.top / "k8s" / "deployment.yaml"
    path.write_text(path.read_text().replace(f"@sha256:{'a' * 64}", ":1.2"))
    git(project.top, "commit", "-qam", "Run a tag")

    result = machine.phasegate("run", project.ticket, "--repo", project.top, "--rehearse", project.script(script()))

    assert result.code == 2
    assert "k8s/deployment.yaml: Deployment/shop: image old:1.2 is not named by a digest" in result.err
    assert "name@sha256:…" in result.err
