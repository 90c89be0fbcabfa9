"""Policies that `phasegate init` writes for repositories with Kubernetes manifests; each must load."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from phasegate.infra.policy.detect.detect import detect
from phasegate.infra.policy.load import load_policy

PINNED = f"shop@sha256:{'a' * 64}"
SERVICE = "apiVersion: v1\nkind: Service\nmetadata:\n  name: shop\n"
SERVED = "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--port', type=int)\n"


def deployment(image: str = PINNED, namespace: str = "") -> str:
    where = f"  namespace: {namespace}\n" if namespace else ""
    spec = f"spec:\n  template:\n    spec:\n      containers:\n      - name: shop\n        image: {image}\n"
    return f"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: shop\n{where}{spec}"


@dataclass(frozen=True)
class Case:
    """A repository, and the folder of manifests in its policy; empty if releases do not come from manifests."""

    name: str
    files: dict[str, str]
    manifests: str = ""
    namespace: str = "default"
    notes: tuple[str, ...] = field(default=())


CASES = [
    Case("a folder", {"k8s/shop.yaml": deployment(), "k8s/service.yaml": SERVICE}, manifests="k8s"),
    Case("one built file", {"shop.yaml": f"{deployment()}---\n{SERVICE}"}, manifests="shop.yaml"),
    Case("folders below one", {"k8s/a/a.yaml": deployment(), "k8s/b/b.yaml": deployment()}, manifests="k8s"),
    Case(
        "one file among others that are no manifests",
        {"deploy/shop.yaml": deployment(), "deploy/values.yaml": "a: b\n"},
        manifests="deploy/shop.yaml",
    ),
    Case("a namespace", {"k8s/shop.yaml": deployment(namespace="web")}, manifests="k8s", namespace="web"),
    Case(
        "manifests win over a start command",
        {"k8s/shop.yaml": deployment(), "app.py": SERVED},
        manifests="k8s",
    ),
    Case(
        "a tag is named at once",
        {"k8s/shop.yaml": deployment("shop:1.2")},
        manifests="k8s",
        notes=("these are not: shop:1.2",),
    ),
    Case(
        "a tag, and a way to start the service here",
        {"k8s/shop.yaml": deployment("shop:1.2"), "app.py": SERVED},
        notes=("these are not: shop:1.2",),
    ),
    Case("a chart", {"chart/Chart.yaml": "name: shop\n", "chart/templates/shop.yaml": deployment()}, notes=("chart",)),
    Case(
        "a kustomization",
        {"k8s/kustomization.yaml": "resources: [shop.yaml]\n", "k8s/shop.yaml": deployment()},
        notes=("kubectl kustomize",),
    ),
    Case(
        "several places",
        {"a/one.yaml": deployment(), "b/two.yaml": deployment()},
        notes=("several places",),
    ),
    Case("an example in the documentation", {"docs/shop.yaml": deployment()}),
    Case("other YAML", {".github/workflows/ci.yaml": "on: push\n", "compose.yaml": "services: {}\n"}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_manifests_are_found(tmp_path: Path, case: Case):
    for name, text in case.files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    found = detect(tmp_path)

    policy = load_policy(found.toml.encode(), source="phasegate.toml")
    assert (policy.deploy.target == "kubernetes") == bool(case.manifests), found.toml
    assert (policy.deploy.manifests, policy.deploy.namespace) == (case.manifests, case.namespace)
    assert (policy.lifecycle.stages[-1] == "deployment") == bool(case.manifests)
    assert found.declared == bool(case.manifests)
    for note in case.notes:
        assert any(note in one for one in found.notes), found.notes


def test_what_needs_the_network_is_looked_over_before_a_run_goes_by_it(tmp_path: Path):
    (tmp_path / "shop.yaml").write_text(deployment())
    (tmp_path / "requirements.txt").write_text("flask\n")
    found = detect(tmp_path)
    assert "setup_network = true" in found.toml
    assert not found.declared
