"""A stranger's repository with manifests, and not even a phasegate.toml."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.acceptance.lifecycle.conftest import edit
from tests.kubernetes import KubernetesServer, manifests
from tests.machine import Machine
from tests.support.repositories import first_commit

pytestmark = pytest.mark.timeout(900)  # an engine and a control plane start

DIGEST = f"sha256:{'a' * 64}"
SEALED = """from pathlib import Path


def test_three_of_them() -> None:
    assert "replicas: 3" in Path("k8s/deployment.yaml").read_text()
"""
PRESENT = SEALED.replace("test_three_of_them", "test_an_image").replace("replicas: 3", "image: ")
SCRIPT: dict[str, Any] = {
    "version": 1,
    "stages": {
        "prd": [
            {"finish": {"title": "Three of them", "acceptance_criteria": [{"id": "AC1", "statement": "3 replicas"}]}}
        ],
        "implementation": [
            edit("k8s/deployment.yaml", "replicas: 2", "replicas: 3"),
            edit("k8s/deployment.yaml", "image: old@", "image: new@"),
            {"finish": {"summary": "three of a new one"}},
        ],
        "testing": [
            {"finish": {"files": [{"path": "tests/test_replicas.py", "content": SEALED, "criteria": ["AC1"]}]}}
        ],
        "deployment": [{"finish": {"summary": "Three.", "steps": ["apply"], "checks": ["3 are available"]}}],
    },
}


@pytest.fixture
def machine(tmp_path: Path, kubernetes: KubernetesServer) -> Iterator[Machine]:
    machine = Machine(tmp_path / "home", {"KUBECONFIG": str(kubernetes.kubeconfig), "COLUMNS": "160"})
    yield machine
    machine.phasegate("down")


def test_it_gets_to_a_plan_that_a_person_can_judge(
    machine: Machine, kubernetes: KubernetesServer, tmp_path: Path
) -> None:
    namespace, top = kubernetes.new_namespace(), tmp_path / "shop"
    (top / "k8s").mkdir(parents=True)
    for manifest in manifests("old"):
        manifest["metadata"]["namespace"] = namespace
        (top / "k8s" / f"{manifest['kind'].lower()}.yaml").write_text(yaml.safe_dump(manifest))
    (top / "tests").mkdir()
    (top / "tests" / "test_manifests.py").write_text(PRESENT)
    first_commit(top)
    theirs = manifests("older")[0]
    with kubernetes.http() as http:
        place = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        http.post(place, json=theirs, params={"fieldManager": "kubectl"}).raise_for_status()
    (tmp_path / "ticket.md").write_text("---\ntitle: Three of them\n---\nTwo are too few.\n")
    (tmp_path / "script.yaml").write_text(yaml.safe_dump(SCRIPT))

    order = ("run", tmp_path / "ticket.md", "--repo", top, "--rehearse", tmp_path / "script.yaml")
    run = machine.phasegate(*order, "--approve", "prd", "--approve", "change")

    assert run.code == 3, run.err + run.out
    assert "There is no phasegate.toml: a run goes by what `phasegate init` would write" in run.out
    assert f'target = "kubernetes" manifests = "k8s" namespace = "{namespace}"' in run.out
    assert "Waiting at gate release" in run.out
    run_id = machine.phasegate("runs", "--json").json[0]["id"]
    shown = machine.phasegate("show", run_id).out
    for line in (f"- image: older@{DIGEST}", f"+ - image: new@{DIGEST}", "- replicas: 2", "+ replicas: 3"):
        assert line in " ".join(shown.split()), shown
    assert "owned by kubectl" in shown

    assert machine.phasegate("approve", run_id).code == 0
    assert machine.phasegate("watch", run_id).code == 0
    with kubernetes.http() as http:
        live = http.get(f"{place}/shop").json()
    assert (live["spec"]["replicas"], live["status"]["availableReplicas"]) == (3, 3)
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == f"new@{DIGEST}"
