"""A canary: a second Deployment beside the one that serves, and how traffic gets to it.

Called by what runs candidates, strategy `canary`. Pure. Two ways lead to it:
by replicas, behind the same Service, which sends each pod about the same traffic: the share of ready pods is the share
of traffic, and the Service's selector must not name what tells the two apart, which is a label of ours;
by the weights of an HTTPRoute, behind a Service of its own: so that the first Service does not reach it, its pods have
another value in one label of that Service's selector.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping, Sequence

from phasegate.infra.deploy.kubernetes.api.diff import PREFIX
from phasegate.infra.deploy.kubernetes.api.manifests import Manifest, Ref, table, tables
from phasegate.infra.deploy.kubernetes.argo import is_rollout
from phasegate.infra.deploy.kubernetes.rollout import replicas

_TRACK = {f"{PREFIX}track": "canary"}
_STABLE = f"{PREFIX}canary-of"
_LONGEST_NAME = 63
_NEEDED = ("ServiceAccount", "ConfigMap", "Secret", "PersistentVolumeClaim")
"""Kinds that pods may refer to: new objects come with the canary; others stay as they are until the cut-over."""


def canaries(
    manifests: Sequence[Manifest], *, percent: int, live: frozenset[Ref], routed: Collection[str] = ()
) -> list[Manifest]:
    """Objects that run beside the current release while this one is a candidate, in the order of applying.

    Args:
        manifests: The release's.
        percent: The share of all replicas that is to be the canary's; 0: the smallest there is.
        live: What is there now; a Deployment that is not has nothing to run beside, and no canary. A Rollout that is
            runs its canary itself.
        routed: The Services that an HTTPRoute leads to now.
    """
    services = [
        manifest for manifest in manifests if manifest["kind"] == "Service" and manifest["metadata"]["name"] in routed
    ]
    workloads: list[Manifest] = []
    for workload in manifests:
        if Ref.of(workload) not in live:
            continue
        if is_rollout(workload):
            workloads.append(workload)
        elif workload["kind"] == "Deployment":
            behind = [service for service in services if _selects(service, workload)]
            workloads += [*(_canary_service(service) for service in behind), _canary(workload, percent, behind)]
    beside = [manifest for manifest in manifests if manifest["kind"] in _NEEDED and Ref.of(manifest) not in live]
    return [*beside, *workloads] if workloads else []


def canary_replicas(stable: int, percent: int) -> int:
    """Number of replicas that make up a share beside these; at least one, but for a share of 0.

    Args:
        stable: Number of replicas beside it.
        percent: Below 100: that is no share but all.
    """
    return max(1, math.ceil(stable * percent / (100 - percent))) if percent else 0


def carrying_replicas(stable: int, percent: int) -> int:
    """Number of replicas that carry a share of what these carry; at least one, which is there before any traffic."""
    return max(1, math.ceil(stable * percent / 100))


def rescaled(canary: Manifest, count: int) -> Manifest:
    """A canary with another number of replicas."""
    return {**canary, "spec": {**canary["spec"], "replicas": count}}


def stable_of(canary: Manifest) -> Ref | None:
    """The Deployment that a canary runs beside, or `None` if this is no canary."""
    name = table(canary["metadata"].get("annotations")).get(_STABLE)
    return Ref(canary["apiVersion"], canary["kind"], str(name)) if name else None


def canary_services(canaries: Sequence[Manifest]) -> dict[str, str]:
    """Service to the Service of its canary, for those that an HTTPRoute leads to."""
    return {
        ref.name: canary["metadata"]["name"]
        for canary in canaries
        if canary["kind"] == "Service" and (ref := stable_of(canary))
    }


def is_routed(canary: Manifest, canaries: Sequence[Manifest]) -> bool:
    """True if a canary is reached through a Service of its own."""
    return any(_selects(service, canary) for service in canaries if service["kind"] == "Service")


def _canary(deployment: Manifest, percent: int, services: Sequence[Manifest]) -> Manifest:
    canary = _beside(deployment)
    labels = {**_TRACK, **{key: value for service in services for key, value in _relabelled(service).items()}}
    spec = canary["spec"]
    stable = replicas(deployment)
    spec["replicas"] = carrying_replicas(stable, percent) if services else max(1, canary_replicas(stable, percent))
    spec["selector"].setdefault("matchLabels", {}).update(labels)
    spec["template"].setdefault("metadata", {}).setdefault("labels", {}).update(labels)
    return canary


def _canary_service(service: Manifest) -> Manifest:
    """The Service of a canary: the same ports inside the cluster, and nothing that leads there from outside."""
    canary = _beside(service)
    ports = [{name: value for name, value in port.items() if name != "nodePort"} for port in _ports(service)]
    canary["spec"] = {"selector": {**service["spec"]["selector"], **_relabelled(service)}, "ports": ports}
    return canary


def _beside(manifest: Manifest) -> Manifest:
    canary = copy.deepcopy(manifest)
    metadata = canary["metadata"]
    metadata.setdefault("annotations", {})[_STABLE] = metadata["name"]
    metadata.setdefault("labels", {}).update(_TRACK)
    metadata["name"] = f"{metadata['name'][: _LONGEST_NAME - 7]}-canary"
    return canary


def _relabelled(service: Manifest) -> Mapping[str, str]:
    """The label of a Service's selector whose other value keeps a canary out of it: the first."""
    key, value = next(iter(service["spec"]["selector"].items()))
    return {key: f"{str(value)[: _LONGEST_NAME - 7]}-canary"}


def _selects(service: Manifest, workload: Manifest) -> bool:
    selector = table(table(service.get("spec")).get("selector"))
    labels = table(table(workload["spec"]["template"].get("metadata")).get("labels"))
    return bool(selector) and selector.items() <= labels.items()


def _ports(service: Manifest) -> list[Manifest]:
    return tables(table(service.get("spec")).get("ports"))
