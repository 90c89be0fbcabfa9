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
    found = next((one for pod in pods for one in _pod_troubles(pod)), None)
    if found is not None:
        return found
    for condition in _conditions(workload):
        said = f"{name}: {condition.get('message', '')}"
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            if "exceeded quota" in said:
                return RolloutFailure("quota", said, end="ask")
            return RolloutFailure("pods-refused", said)
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
        one for one in objects if any(ref.get("uid") == uid for ref in tables(one["metadata"].get("ownerReferences")))
    ]


def newest(workload: Manifest, replica_sets: Iterable[Manifest]) -> Manifest | None:
    """The ReplicaSet of a Deployment's or Rollout's present revision, or `None` until its controller has made it."""
    own = owned_by(workload, replica_sets)
    if argo.is_rollout(workload):
        wanted = table(workload.get("status")).get("currentPodHash")
        return next(
            (one for one in own if wanted and table(one["metadata"].get("labels")).get(argo.HASH) == wanted), None
        )
    revision = revision_of(workload)
    return next((one for one in own if revision and revision_of(one) == revision), None)


def revision_of(workload: Manifest) -> str:
    """The revision its controller counts, or an empty string if it counts none."""
    metadata = table(workload.get("metadata"))
    return str(table(metadata.get("annotations")).get("deployment.kubernetes.io/revision", ""))


def replicas(workload: Manifest) -> int:
    """Number of pods that a workload should have; 1 if it does not say."""
    wanted = table(workload.get("spec")).get("replicas")
    return 1 if wanted is None else int(wanted)


def available(workload: Manifest) -> int:
    """Number of a workload's pods that can be reached."""
    status = table(workload.get("status"))
    counted = {"Deployment": "availableReplicas", "Rollout": "availableReplicas", "StatefulSet": "readyReplicas"}
    return int(status.get(counted.get(workload["kind"], "numberAvailable")) or 0)


def has_been_seen(workload: Manifest) -> bool:
    """True if its controller has observed the present spec; until then, conditions are of an earlier one."""
    if argo.is_rollout(workload):
        return argo.has_been_observed(workload)
    seen = int(table(workload.get("status")).get("observedGeneration") or 0)
    return int(workload["metadata"].get("generation", 0)) <= seen


def _deployment(workload: Manifest, status: Manifest) -> RolloutStatus:
    wanted, updated = replicas(workload), int(status.get("updatedReplicas") or 0)
    available, present = int(status.get("availableReplicas") or 0), int(status.get("replicas") or 0)
    if updated < wanted:
        return RolloutStatus(done=False, detail=f"{updated} out of {wanted} new replicas have been updated")
    if present > updated:
        return RolloutStatus(done=False, detail=f"{present - updated} old replicas are pending termination")
    if available < updated:
        return RolloutStatus(done=False, detail=f"{available} of {updated} updated replicas are available")
    return RolloutStatus(done=True, detail=f"{available} of {wanted} replicas are available")


def _rollout(workload: Manifest, status: Manifest) -> RolloutStatus:
    now = argo.phase(workload)
    ready = f"{available(workload)} of {replicas(workload)} replicas are available"
    if now.name == "Healthy" and argo.is_promoted(workload):
        return RolloutStatus(done=True, detail=ready)
    at = f"step {int(status.get('currentStepIndex') or 0)} of its own"
    return RolloutStatus(done=False, detail=", ".join(one for one in (now.name, now.message, at, ready) if one))


def _stateful_set(workload: Manifest, status: Manifest) -> RolloutStatus:
    wanted = replicas(workload)
    strategy = table(table(workload.get("spec")).get("updateStrategy"))
    partition = int(table(strategy.get("rollingUpdate")).get("partition") or 0)
    ready, updated = int(status.get("readyReplicas") or 0), int(status.get("updatedReplicas") or 0)
    if ready < wanted:
        return RolloutStatus(done=False, detail=f"{ready} of {wanted} replicas are ready")
    if updated < wanted - partition:
        return RolloutStatus(done=False, detail=f"{updated} out of {wanted - partition} new replicas have been updated")
    if not partition and status.get("updateRevision") != status.get("currentRevision"):
        return RolloutStatus(done=False, detail="the last replicas are being updated")
    return RolloutStatus(done=True, detail=f"{ready} of {wanted} replicas are ready")


def _daemon_set(status: Manifest) -> RolloutStatus:
    wanted = int(status.get("desiredNumberScheduled") or 0)
    updated, available = int(status.get("updatedNumberScheduled") or 0), int(status.get("numberAvailable") or 0)
    if updated < wanted:
        return RolloutStatus(done=False, detail=f"{updated} out of {wanted} new pods have been updated")
    if available < wanted:
        return RolloutStatus(done=False, detail=f"{available} of {wanted} updated pods are available")
    return RolloutStatus(done=True, detail=f"{available} of {wanted} pods are available")


def _pod_troubles(pod: Manifest) -> Iterator[RolloutFailure]:
    status = table(pod.get("status"))
    for name in ("initContainerStatuses", "containerStatuses"):
        for container in tables(status.get(name)):
            waiting = table(table(container.get("state")).get("waiting"))
            reason = str(waiting.get("reason", ""))
            where = f"container {container.get('name')} of pod {pod['metadata']['name']}"
            said = f"{where}: {reason}: {waiting.get('message', '')}".rstrip(": ")
            if reason in _HOPELESS:
                yield RolloutFailure(_HOPELESS[reason], said)
            elif reason == "CrashLoopBackOff" and int(container.get("restartCount") or 0) >= _CRASHES:
                yield RolloutFailure("crash-loop", f"{said} ({container.get('restartCount')} restarts)")


def _conditions(workload: Manifest) -> list[dict[str, Any]]:
    return tables(table(workload.get("status")).get("conditions"))
