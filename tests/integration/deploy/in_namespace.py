"""A namespace of the tests' API server: seen and edited from outside, released to, and with limited rights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import yaml
from tests.kubernetes import KubernetesServer, kubernetes_target

from phasegate.infra.deploy.kubernetes.target import KubernetesTarget

DEPLOYMENT = "apis/apps/v1/namespaces/{namespace}/deployments/shop"
SERVICE = "api/v1/namespaces/{namespace}/services/shop"


class Namespace:
    """A namespace, seen and edited by a person with all rights, not by phasegate."""

    def __init__(self, server: KubernetesServer, http: httpx.Client) -> None:
        self.server, self.http, self.name = server, http, server.new_namespace()

    def live(self, path: str = DEPLOYMENT) -> dict[str, Any] | None:
        answer = self.http.get(f"/{path.format(namespace=self.name)}")
        return answer.json() if answer.status_code == 200 else None

    def image(self) -> str:
        live = self.live()
        return live["spec"]["template"]["spec"]["containers"][0]["image"].partition("@")[0] if live else ""

    def edit(self, body: dict[str, Any], path: str = DEPLOYMENT, manager: str = "kubectl-edit") -> None:
        headers = {"Content-Type": "application/merge-patch+json"}
        place = f"/{path.format(namespace=self.name)}"
        self.http.patch(place, json=body, headers=headers, params={"fieldManager": manager}).raise_for_status()

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.http.post(f"/{path.format(namespace=self.name)}", json=body, params={"fieldManager": "kubectl"})
        answer.raise_for_status()
        made: dict[str, Any] = answer.json()
        return made

    def names(self, resource: str = "apis/apps/v1/namespaces/{namespace}/deployments") -> set[str]:
        found = self.http.get(f"/{resource.format(namespace=self.name)}").json()["items"]
        return {one["metadata"]["name"] for one in found}


def target_in(
    namespace: Namespace, tmp_path: Path, commits: dict[str, list[dict[str, Any]]] | None = None, **policy: Any
) -> KubernetesTarget:
    return kubernetes_target(namespace.server, tmp_path, namespace=namespace.name, commits=commits, **policy)


async def release(target: KubernetesTarget, release_id: str, commit: str, taking: tuple[str, ...] = ()) -> None:
    await target.start_candidate(release_id, commit, taking=taking)
    await target.cut_over(release_id)


def limited(namespace: Namespace, root: Path, *, without: str = "") -> dict[str, str]:
    """The environment of an engine that has the rights of infra/kubernetes/rbac.yaml, and no others."""
    places = {
        "ServiceAccount": "api/v1/namespaces/{namespace}/serviceaccounts",
        "Role": "apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
        "RoleBinding": "apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
    }
    for manifest in yaml.safe_load_all((root / "infra" / "kubernetes" / "rbac.yaml").read_text()):
        if manifest["kind"] == "RoleBinding":
            manifest["subjects"][0]["namespace"] = namespace.name  # as kubectl apply -n does
        if manifest["kind"] == "Role":
            manifest["rules"] = [rule for rule in manifest["rules"] if without not in rule["resources"]]
        namespace.create(places[manifest["kind"]], manifest)
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    made = namespace.create("api/v1/namespaces/{namespace}/serviceaccounts/phasegate/token", asked)
    config = namespace.server.kubeconfig_for(made["status"]["token"], f"phasegate-{namespace.name}")
    return {"KUBECONFIG": str(config)}
