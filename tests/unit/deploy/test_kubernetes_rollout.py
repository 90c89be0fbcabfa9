"""When a rollout is over and when it will not be: kubectl's rules, and what pods say before a deadline, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from phasegate.infra.deploy.kubernetes.canary.manifests import canary_replicas
from phasegate.infra.deploy.kubernetes.rollout import progress, rollout_failure


def workload(kind: str = "Deployment", *, replicas: int | None = 3, seen: int = 2, **status: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {} if replicas is None else {"replicas": replicas}
    metadata = {"name": "shop", "generation": 2, "uid": "u"}
    return {"kind": kind, "metadata": metadata, "spec": spec, "status": {"observedGeneration": seen, **status}}


def deployment(updated: int, total: int, available: int, replicas: int | None = 3) -> dict[str, Any]:
    found = workload(replicas=replicas, updatedReplicas=updated, availableReplicas=available)
    found["status"]["replicas"] = total
    return found


def stateful(ready: int, updated: int, revision: str = "new", partition: int = 0) -> dict[str, Any]:
    found = workload(
        "StatefulSet", readyReplicas=ready, updatedReplicas=updated, updateRevision="new", currentRevision=revision
    )
    found["spec"]["updateStrategy"] = {"rollingUpdate": {"partition": partition}}
    return found


@dataclass(frozen=True)
class Rollout:
    """A workload as it is live, and what kubectl says of it."""

    name: str
    live: dict[str, Any]
    done: bool
    detail: str


ROLLOUTS = [
    Rollout("not seen yet", workload(seen=1, updatedReplicas=3, replicas=3), False, "not been observed"),
    Rollout("no status yet", {**workload(), "status": {}}, False, "not been observed"),
    Rollout("some are new", deployment(1, 4, 3), False, "1 out of 3 new replicas have been updated"),
    Rollout("old ones end", deployment(3, 4, 3), False, "1 old replicas are pending termination"),
    Rollout("some come up", deployment(3, 3, 2), False, "2 of 3 updated replicas are available"),
    Rollout("all are there", deployment(3, 3, 3), True, "3 of 3 replicas are available"),
    Rollout("one where it does not say", deployment(1, 1, 1, None), True, "1 of 1 replicas are available"),
    Rollout("none wanted", deployment(0, 0, 0, 0), True, "0 of 0 replicas are available"),
    Rollout("none wanted, one ends", deployment(0, 1, 0, 0), False, "1 old replicas are pending termination"),
    Rollout("a stateful set waits", stateful(2, 3), False, "2 of 3 replicas are ready"),
    Rollout("a stateful set updates", stateful(3, 1), False, "1 out of 3 new replicas have been updated"),
    Rollout("its last ones", stateful(3, 3, "old"), False, "the last replicas are being updated"),
    Rollout("a stateful set is done", stateful(3, 3), True, "3 of 3 replicas are ready"),
    Rollout("a partition is done", stateful(3, 1, "old", partition=2), True, "3 of 3 replicas are ready"),
    Rollout(
        "a daemon set updates",
        workload("DaemonSet", desiredNumberScheduled=4, updatedNumberScheduled=1, numberAvailable=4),
        False,
        "1 out of 4 new pods have been updated",
    ),
    Rollout(
        "a daemon set comes up",
        workload("DaemonSet", desiredNumberScheduled=4, updatedNumberScheduled=4, numberAvailable=3),
        False,
        "3 of 4 updated pods are available",
    ),
    Rollout(
        "a daemon set is done",
        workload("DaemonSet", desiredNumberScheduled=4, updatedNumberScheduled=4, numberAvailable=4),
        True,
        "4 of 4 pods are available",
    ),
    Rollout(
        "a daemon set with nowhere to run",
        workload("DaemonSet", desiredNumberScheduled=0),
        True,
        "0 of 0 pods are available",
    ),
]


@pytest.mark.parametrize("case", ROLLOUTS, ids=lambda case: case.name)
def test_a_rollout_is_over_when_kubectl_says_so(case: Rollout):
    found = progress(case.live)
    assert (found.done, case.detail in found.detail) == (case.done, True), found.detail


def pod(reason: str, restarts: int = 0, *, init: bool = False) -> dict[str, Any]:
    status = {"name": "shop", "restartCount": restarts, "state": {"waiting": {"reason": reason}}}
    return {
        "metadata": {"name": "shop-1"},
        "status": {"initContainerStatuses" if init else "containerStatuses": [status]},
    }


def failing(kind: str, reason: str, message: str = "", status: str = "True") -> dict[str, Any]:
    condition = {"type": kind, "status": status, "reason": reason, "message": message}
    return workload(conditions=[condition])


@dataclass(frozen=True)
class Stuck:
    """Observed state, and the reason why it will not come up; an empty reason if it may."""

    name: str
    live: dict[str, Any]
    pods: list[dict[str, Any]]
    reason: str
    end: str = "roll back"


STUCK = [
    Stuck("an image is not there", workload(), [pod("ImagePullBackOff")], "image-pull"),
    Stuck("an image's first try", workload(), [pod("ErrImagePull")], ""),
    Stuck("an image cannot be", workload(), [pod("InvalidImageName")], "image-pull"),
    Stuck("a Secret is missing", workload(), [pod("CreateContainerConfigError")], "container-config"),
    Stuck("it crashes and crashes", workload(), [pod("CrashLoopBackOff", 3)], "crash-loop"),
    Stuck("it has crashed once", workload(), [pod("CrashLoopBackOff", 1)], ""),
    Stuck("its init container crashes", workload(), [pod("CrashLoopBackOff", 5, init=True)], "crash-loop"),
    Stuck("one pod of two", workload(), [pod("ContainerCreating"), pod("ImagePullBackOff")], "image-pull"),
    Stuck("it comes up", workload(), [pod("ContainerCreating")], ""),
    Stuck("no pods yet", workload(), [], ""),
    Stuck("a deadline", failing("Progressing", "ProgressDeadlineExceeded", status="False"), [], "progress-deadline"),
    Stuck("progress", failing("Progressing", "ReplicaSetUpdated"), [], ""),
    Stuck("a quota", failing("ReplicaFailure", "FailedCreate", "exceeded quota: pods"), [], "quota", "ask"),
    Stuck("pods are refused", failing("ReplicaFailure", "FailedCreate", "denied by policy"), [], "pods-refused"),
    Stuck("no failure any more", failing("ReplicaFailure", "FailedCreate", status="False"), [], ""),
]


@pytest.mark.parametrize("case", STUCK, ids=lambda case: case.name)
def test_what_will_not_come_up_is_named_before_a_deadline(case: Stuck):
    found = rollout_failure(case.live, case.pods)
    assert (found.reason if found else "") == case.reason
    assert found is None or found.end == case.end


@pytest.mark.parametrize(
    ("stable", "percent", "expected"), [(1, 10, 1), (6, 25, 2), (9, 10, 1), (10, 10, 2), (10, 50, 10), (0, 10, 1)]
)
def test_a_canary_is_at_least_its_share(stable: int, percent: int, expected: int):
    assert canary_replicas(stable, percent) == expected
    assert stable == 0 or expected / (expected + stable) * 100 >= percent
