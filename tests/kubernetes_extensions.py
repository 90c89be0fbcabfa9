"""Extensions of a cluster: the Gateway API's `HTTPRoute` and Argo's `Rollout`, with stand-ins for controllers.

The definitions hold what phasegate uses of the real ones, with the same defaults and list types. The gateway takes up
every route but those of a host it does not know. Argo's controller makes real ReplicaSets and goes through a canary's
steps: weights, pauses, analyses that fail or hold, abort, promotion.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import threading
import time
from typing import Any

import httpx
import pytest
from tests.kubernetes import KubernetesServer, manifests

_MERGE = {"Content-Type": "application/merge-patch+json"}
_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_GATEWAY = "/apis/gateway.networking.k8s.io/v1"
_ARGO = "/apis/argoproj.io/v1alpha1"
HASH = "rollouts-pod-template-hash"
_ENDS = ("Kubernetes v1.20.2",)
"""As `.ci/kube-assets` built it at first: with a library that does not go with its Go, it ends at a custom resource."""
_CANNOT = (
    "NOT TESTED with custom resources: this API server ends at the first. Remove it from KUBEBUILDER_ASSETS or "
    "~/.cache/kubebuilder-assets, and have .ci/kube-assets build it anew"
)


def _definition(group: str, version: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "properties": {"spec": spec, "status": _ANYTHING}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a test's"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


_BACKEND = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "group": {"type": "string"},
        "kind": {"type": "string", "default": "Service"},
        "name": {"type": "string"},
        "namespace": {"type": "string"},
        "port": {"type": "integer"},
        "weight": {"type": "integer", "default": 1, "minimum": 0, "maximum": 1000000},
    },
}
_RULE = {
    "type": "object",
    "properties": {
        "matches": {"type": "array", "items": _ANYTHING},
        "backendRefs": {"type": "array", "x-kubernetes-list-type": "atomic", "items": _BACKEND},
    },
}
_ROUTE = {
    "type": "object",
    "properties": {
        "parentRefs": {"type": "array", "x-kubernetes-list-type": "atomic", "items": _ANYTHING},
        "hostnames": {"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "string"}},
        "rules": {"type": "array", "x-kubernetes-list-type": "atomic", "items": _RULE},
    },
}
_ROLLOUT = {
    "type": "object",
    "required": ["template"],
    "properties": {
        "replicas": {"type": "integer"},
        "selector": _ANYTHING,
        "template": _ANYTHING,
        "strategy": _ANYTHING,
        "paused": {"type": "boolean"},
        "progressDeadlineSeconds": {"type": "integer"},
    },
}


def install(server: KubernetesServer) -> None:
    """Install both kinds in the API server; if it cannot serve them, their tests are skipped loudly."""
    if server.version in _ENDS:
        pytest.skip(_CANNOT)
    definitions = [
        _definition("gateway.networking.k8s.io", "v1", "HTTPRoute", _ROUTE),
        _definition("argoproj.io", "v1alpha1", "Rollout", _ROLLOUT),
    ]
    with server.http() as http:
        for definition in definitions:
            place = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            answer = http.post(place, json=definition)
            assert answer.status_code in {201, 409}, answer.text  # another module's tests may have brought it
        deadline = time.monotonic() + 30
        while any(http.get(f"{place}").status_code != 200 for place in (f"{_GATEWAY}/httproutes", f"{_ARGO}/rollouts")):
            assert time.monotonic() < deadline, "the definitions are not served"
            time.sleep(0.05)


def route(name: str = "shop", *, host: str = "shop.example") -> dict[str, Any]:
    """A route of all of a host's traffic to a Service, and of one further path."""
    backend = {"name": name, "port": 80}
    rules = [{"matches": [{"path": {"value": "/"}}], "backendRefs": [backend]}, {"backendRefs": [backend]}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": {"parentRefs": [{"name": "public"}], "hostnames": [host], "rules": rules},
    }


def rollout(image: str, *steps: dict[str, Any], replicas: int = 4, **canary: Any) -> list[dict[str, Any]]:
    """A Rollout where `manifests` has a Deployment, and its Service."""
    deployment, service = manifests(image, replicas=replicas)
    made = {**deployment, "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}
    made["spec"] = {**deployment["spec"], "strategy": {"canary": {"steps": list(steps), **canary}}}
    return [made, service]


class Controllers(threading.Thread):
    """Plays a gateway and Argo's controller for every namespace."""

    def __init__(self, server: KubernetesServer) -> None:
        """Play for this control plane, which serves both kinds."""
        super().__init__(daemon=True, name="gateway and argo")
        self._server, self._ended = server, threading.Event()

    def run(self) -> None:
        """Look at all routes and Rollouts, again and again."""
        with self._server.http() as http:
            while not self._ended.wait(0.1):
                with contextlib.suppress(httpx.HTTPError):  # the API server is down: that is a scene, too
                    for one in http.get(f"{_GATEWAY}/httproutes").json().get("items", []):
                        _take_up(http, one)
                    for one in http.get(f"{_ARGO}/rollouts").json().get("items", []):
                        _Argo(http, one).reconcile()

    def stop(self) -> None:
        """Play no more."""
        self._ended.set()
        self.join(10)


def _take_up(http: httpx.Client, found: dict[str, Any]) -> None:
    metadata, spec = found["metadata"], found["spec"]
    parents = found.get("status", {}).get("parents") or [{"conditions": [{}]}]
    if parents[0]["conditions"][0].get("observedGeneration") == metadata["generation"]:
        return
    names = {one["name"] for rule in spec["rules"] for one in rule["backendRefs"]}
    services = f"/api/v1/namespaces/{metadata['namespace']}/services"
    missing = [name for name in sorted(names) if http.get(f"{services}/{name}").status_code == 404]
    if "nobody.example" in spec["hostnames"]:
        return
    now = {"observedGeneration": metadata["generation"], "lastTransitionTime": "2026-01-01T00:00:00Z"}
    resolved = {"type": "ResolvedRefs", "status": str(not missing), "reason": "BackendNotFound" if missing else "Fine"}
    conditions = [
        {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", **now},
        {**resolved, "message": ", ".join(missing), **now},
    ]
    status = {
        "parents": [{"controllerName": "test/gateway", "parentRef": {"name": "public"}, "conditions": conditions}]
    }
    path = f"{_GATEWAY}/namespaces/{metadata['namespace']}/httproutes/{metadata['name']}/status"
    http.patch(path, json={"status": status}, headers=_MERGE)


class _Argo:
    """A reconciliation of one Rollout."""

    def __init__(self, http: httpx.Client, found: dict[str, Any]) -> None:
        self._http, self._found, self._spec = http, found, found["spec"]
        self._before: dict[str, Any] = found.get("status", {})
        self._status = json.loads(json.dumps(self._before))
        self._space, self._name = found["metadata"]["namespace"], found["metadata"]["name"]
        self._sets = f"/apis/apps/v1/namespaces/{self._space}/replicasets"
        canary = self._spec["strategy"].get("canary", {})
        self._steps: list[dict[str, Any]] = canary.get("steps") or []
        self._routed, self._wanted = "trafficRouting" in canary, int(self._spec.get("replicas", 1))

    def reconcile(self) -> None:
        status = self._status
        own = hashlib.sha256(json.dumps(self._spec["template"], sort_keys=True).encode()).hexdigest()[:10]
        if own != status.get("currentPodHash"):
            status |= {"currentPodHash": own, "currentStepIndex": 0, "abort": False, "promoteFull": False}
            status |= {"pauseConditions": None, "controllerPause": False, "message": ""}
        stable = status.get("stableRS") or ""
        if stable in {"", own}:
            self._finish(own)
        elif status.get("abort"):
            self._settle(own, 0)
            status |= {"phase": "Degraded", "message": "RolloutAborted: Rollout aborted update to revision 2"}
        else:
            self._walk(own)
        status["observedGeneration"] = str(self._found["metadata"]["generation"])
        changed = {key: value for key, value in status.items() if value != self._before.get(key)}
        if changed:  # only what it changes, as the real one does: a person may promote at this moment
            path = f"{_ARGO}/namespaces/{self._space}/rollouts/{self._name}/status"
            self._http.patch(path, json={"status": changed}, headers=_MERGE)

    def _walk(self, own: str) -> None:
        """Continue the step that the canary is at."""
        status = self._status
        if status.get("promoteFull"):
            status["currentStepIndex"] = len(self._steps)
        index = int(status.get("currentStepIndex") or 0)
        weights = [one["setWeight"] for one in self._steps[: index + 1] if "setWeight" in one]
        step = self._steps[index] if index < len(self._steps) else {}
        status |= {"phase": "Progressing", "message": "more replicas need to be updated"}
        if not step:
            self._finish(own)
        elif not self._settle(own, weights[-1] if weights else 0):
            pass
        elif "pause" in step:
            self._pause(index)
        elif step.get("analysis", {}).get("fails"):
            status["abort"] = True
        elif not step.get("analysis", {}).get("holds"):
            status["currentStepIndex"] = index + 1

    def _pause(self, index: int) -> None:
        status = self._status
        if status.get("controllerPause") and not status.get("pauseConditions"):
            status |= {"controllerPause": False, "currentStepIndex": index + 1}
        else:
            started = [{"reason": "CanaryPauseStep", "startTime": "2026-01-01T00:00:00Z"}]
            status |= {"phase": "Paused", "message": "CanaryPauseStep", "controllerPause": True}
            status["pauseConditions"] = status.get("pauseConditions") or started

    def _finish(self, own: str) -> None:
        if self._settle(own, 100):
            self._status |= {"phase": "Healthy", "message": "", "stableRS": own, "currentStepIndex": len(self._steps)}
            self._status |= {"promoteFull": False, "abort": False, "pauseConditions": None, "controllerPause": False}
        else:
            self._status["phase"] = "Progressing"

    def _settle(self, own: str, weight: int) -> bool:
        """Scale the ReplicaSets to a share.

        Returns:
            True once they are there.
        """
        labels = "app=shop"
        found = self._http.get(self._sets, params={"labelSelector": labels}).json()["items"]
        sets = {one["metadata"]["labels"][HASH]: one for one in found if HASH in one["metadata"]["labels"]}
        canary = math.ceil(self._wanted * weight / 100)
        stable = self._status.get("stableRS") or own
        rest = self._wanted if self._routed and weight < 100 else self._wanted - canary
        counts = {**dict.fromkeys(sets, 0), stable: rest, own: canary}
        for pod_hash, count in counts.items():
            self._scale(pod_hash, count, sets.get(pod_hash))
        ready = {one: sets[one].get("status", {}).get("readyReplicas", 0) for one in sets}
        present = sum(one.get("status", {}).get("replicas", 0) for one in sets.values())
        self._status |= {"replicas": present, "updatedReplicas": ready.get(own, 0)}
        self._status |= {"readyReplicas": sum(ready.values()), "availableReplicas": sum(ready.values())}
        done = present == sum(counts.values()) and all(ready.get(one, 0) == count for one, count in counts.items())
        if self._routed and done:
            self._status["canary"] = {"weights": {"canary": {"weight": weight}, "stable": {"weight": 100 - weight}}}
        return done

    def _scale(self, pod_hash: str, count: int, found: dict[str, Any] | None) -> None:
        if found is not None:
            if found["spec"]["replicas"] != count:
                path = f"{self._sets}/{found['metadata']['name']}"
                self._http.patch(path, json={"spec": {"replicas": count}}, headers=_MERGE)
            return
        labels = {**self._spec["template"]["metadata"]["labels"], HASH: pod_hash}
        owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": self._name, "controller": True}
        made = {
            "metadata": {
                "name": f"{self._name}-{pod_hash}",
                "labels": labels,
                "ownerReferences": [{**owner, "uid": self._found["metadata"]["uid"]}],
            },
            "spec": {
                "replicas": count,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": self._spec["template"]["spec"]},
            },
        }
        self._http.post(self._sets, json=made)
