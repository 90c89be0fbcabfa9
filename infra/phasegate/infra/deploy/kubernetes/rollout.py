"""Progress and failures of rollouts: kubectl's rules, and what pods say before a deadline does.

Called by the target while it waits. Pure: it is given objects and reads nothing.

Source: `kubectl rollout status`, k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from phasegate.infra.deploy.kubernetes import argo
from phasegate.infra.deploy.kubernetes.api.manifests import Manifest, table, tables

_HOPELESS = {
    "ImagePullBackOff": "image-pull",
    "InvalidImageName": "image-pull",
    "ErrImageNeverPull": "image-pull",
    "CreateContainerConfigError": "container-config",
    "CreateContainerError": "container-config",
}
"""Reasons of a waiting container that more waiting does not resolve: the kubelet has tried more than once by then."""
_GIVEN_UP = {"RolloutAborted": "rollout-aborted", "InvalidSpec": "invalid"}
_CRASHES = 3
"""Restarts after which a crash loop is one; a service may end once or twice while what it needs comes up."""


@dataclass(frozen=True)
class RolloutStatus:
    """Status of a workload's rollout.

    Attributes:
        done: True if it is over.
        detail: In kubectl's words.
    """

    done: bool
    detail: str


@dataclass(frozen=True)
class RolloutFailure:
    """Reason why a rollout will not succeed by itself.

    Attributes:
        reason: `progress-deadline`, `image-pull`, `crash-loop`, `container-config`, `quota`, `pods-refused`, or for a
            Rollout whose controller gave it up `rollout-aborted` or `invalid`.
        detail: What was seen, for people.
        end: `roll back`, or `ask`: the release is put back, and a person is asked for what is missing.
    """

    reason: str
    detail: str
    end: Literal["roll back", "ask"] = "roll back"


def progress(workload: Manifest) -> RolloutStatus:
    """Status of the rollout of a Deployment's, StatefulSet's, DaemonSet's or Rollout's present spec."""
    status = table(workload.get("status"))
    if argo.is_rollout(workload):
        return _rollout(workload, status)
    if not has_been_seen(workload):
        return RolloutStatus(done=False, detail="the new spec has not been observed yet")
    match workload["kind"]:
        case "Deployment":
            return _deployment(workload, status)
        case "StatefulSet":
            return _stateful_set(workload, status)
        case _:
            return _daemon_set(status)


def rollout_failure(workload: Manifest, pods: Iterable[Manifest]) -> RolloutFailure | None:
    """Find the failure that keeps a rollout from succeeding, or `None` if there is none.

    Args:
        workload: As it is live.
        pods: Those of its newest revision.
    """
    name = f"{workload['kind']}/{workload['metadata']['name']}"
    trouble = next((trouble for pod in pods for trouble in _pod_troubles(pod)), None)
    if trouble is not None:
        return trouble
    for condition in _conditions(workload):
        detail = f"{name}: {condition.get('message', '')}"
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            if "exceeded quota" in detail:
                return RolloutFailure("quota", detail, end="ask")
            return RolloutFailure("pods-refused", detail)
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return RolloutFailure("progress-deadline", f"{name} exceeded its progress deadline")
    if argo.is_rollout(workload) and (now := argo.phase(workload)).name == "Degraded":
        return RolloutFailure(
            _GIVEN_UP.get(now.message.partition(":")[0], "progress-deadline"), f"{name}: {now.message}"
        )
    return None


def owned_by(owner: Manifest, objects: Iterable[Manifest]) -> list[Manifest]:
    """Objects, of those given, that an owner controls."""
    uid = owner["metadata"]["uid"]
    return [
        manifest
        for manifest in objects
        if any(ref.get("uid") == uid for ref in tables(manifest["metadata"].get("ownerReferences")))
    ]


def newest(workload: Manifest, replica_sets: Iterable[Manifest]) -> Manifest | None:
    """The ReplicaSet of a Deployment's or Rollout's present revision, or `None` until its controller has made it."""
    own = owned_by(workload, replica_sets)
    if argo.is_rollout(workload):
        pod_hash = table(workload.get("status")).get("currentPodHash")
        return next(
            (
                replica_set
                for replica_set in own
                if pod_hash and table(replica_set["metadata"].get("labels")).get(argo.HASH) == pod_hash
            ),
            None,
        )
    revision = revision_of(workload)
    return next((replica_set for replica_set in own if revision and revision_of(replica_set) == revision), None)


def revision_of(workload: Manifest) -> str:
    """The revision its controller counts, or an empty string if it counts none."""
    metadata = table(workload.get("metadata"))
    return str(table(metadata.get("annotations")).get("deployment.kubernetes.io/revision", ""))


def replicas(workload: Manifest) -> int:
    """Number of pods that a workload should have; 1 if it does not say."""
    count = table(workload.get("spec")).get("replicas")
    return 1 if count is None else int(count)


def available(workload: Manifest) -> int:
    """Number of a workload's pods that can be reached."""
    status = table(workload.get("status"))
    counted = {"Deployment": "availableReplicas", "Rollout": "availableReplicas", "StatefulSet": "readyReplicas"}
    return int(status.get(counted.get(workload["kind"], "numberAvailable")) or 0)


def has_been_seen(workload: Manifest) -> bool:
    """True if its controller has observed the present spec; until then, conditions are of an earlier one."""
    if argo.is_rollout(workload):
        return argo.has_been_observed(workload)
    observed = int(table(workload.get("status")).get("observedGeneration") or 0)
    return int(workload["metadata"].get("generation", 0)) <= observed


def _deployment(workload: Manifest, status: Manifest) -> RolloutStatus:
    desired, updated = replicas(workload), int(status.get("updatedReplicas") or 0)
    available, present = int(status.get("availableReplicas") or 0), int(status.get("replicas") or 0)
    if updated < desired:
        return RolloutStatus(done=False, detail=f"{updated} out of {desired} new replicas have been updated")
    if present > updated:
        return RolloutStatus(done=False, detail=f"{present - updated} old replicas are pending termination")
    if available < updated:
        return RolloutStatus(done=False, detail=f"{available} of {updated} updated replicas are available")
    return RolloutStatus(done=True, detail=f"{available} of {desired} replicas are available")


def _rollout(workload: Manifest, status: Manifest) -> RolloutStatus:
    now = argo.phase(workload)
    ready = f"{available(workload)} of {replicas(workload)} replicas are available"
    if now.name == "Healthy" and argo.is_promoted(workload):
        return RolloutStatus(done=True, detail=ready)
    at = f"step {int(status.get('currentStepIndex') or 0)} of its own"
    return RolloutStatus(done=False, detail=", ".join(part for part in (now.name, now.message, at, ready) if part))


def _stateful_set(workload: Manifest, status: Manifest) -> RolloutStatus:
    desired = replicas(workload)
    strategy = table(table(workload.get("spec")).get("updateStrategy"))
    partition = int(table(strategy.get("rollingUpdate")).get("partition") or 0)
    ready, updated = int(status.get("readyReplicas") or 0), int(status.get("updatedReplicas") or 0)
    if ready < desired:
        return RolloutStatus(done=False, detail=f"{ready} of {desired} replicas are ready")
    if updated < desired - partition:
        return RolloutStatus(
            done=False, detail=f"{updated} out of {desired - partition} new replicas have been updated"
        )
    if not partition and status.get("updateRevision") != status.get("currentRevision"):
        return RolloutStatus(done=False, detail="the last replicas are being updated")
    return RolloutStatus(done=True, detail=f"{ready} of {desired} replicas are ready")


def _daemon_set(status: Manifest) -> RolloutStatus:
    desired = int(status.get("desiredNumberScheduled") or 0)
    updated, available = int(status.get("updatedNumberScheduled") or 0), int(status.get("numberAvailable") or 0)
    if updated < desired:
        return RolloutStatus(done=False, detail=f"{updated} out of {desired} new pods have been updated")
    if available < desired:
        return RolloutStatus(done=False, detail=f"{available} of {desired} updated pods are available")
    return RolloutStatus(done=True, detail=f"{available} of {desired} pods are available")


def _pod_troubles(pod: Manifest) -> Iterator[RolloutFailure]:
    status = table(pod.get("status"))
    for name in ("initContainerStatuses", "containerStatuses"):
        for container in tables(status.get(name)):
            waiting = table(table(container.get("state")).get("waiting"))
            reason = str(waiting.get("reason", ""))
            where = f"container {container.get('name')} of pod {pod['metadata']['name']}"
            detail = f"{where}: {reason}: {waiting.get('message', '')}".rstrip(": ")
            if reason in _HOPELESS:
                yield RolloutFailure(_HOPELESS[reason], detail)
            elif reason == "CrashLoopBackOff" and int(container.get("restartCount") or 0) >= _CRASHES:
                yield RolloutFailure("crash-loop", f"{detail} ({container.get('restartCount')} restarts)")


def _conditions(workload: Manifest) -> list[dict[str, Any]]:
    return tables(table(workload.get("status")).get("conditions"))
