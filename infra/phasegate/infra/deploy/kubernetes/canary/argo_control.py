"""Drives an Argo `Rollout` as its own command line does: its controller shifts traffic, phasegate says when.

Called by what runs candidates, and while a rollout is waited for. Nothing of its steps is changed or skipped on the way
forward but pauses, which stand for a person's word; on the way back everything is skipped.
Source: `kubectl argo rollouts promote` and `abort`
"""

from __future__ import annotations

import asyncio
import time

from phasegate.infra.deploy.kubernetes import argo
from phasegate.infra.deploy.kubernetes.api.client import Cluster
from phasegate.infra.deploy.kubernetes.api.manifests import Manifest, Ref, table
from phasegate.infra.deploy.kubernetes.apply import LOOK_SECONDS, Applier, failure_of
from phasegate.infra.deploy.kubernetes.rollout import RolloutFailure, newest, owned_by
from phasegate.infra.errors import DeployFailed, TargetRefused


async def wait_until_paused(toward: Applier, ref: Ref) -> Manifest:
    """Wait until a Rollout pauses or is done, as its own steps say.

    Returns:
        The Rollout as it is then.

    Raises:
        DeployFailed: Its controller gave it up, or it did not come to rest in time.
        TargetRefused: It would come up, but for something a person has to give.
    """
    until = time.monotonic() + toward.timeout.total_seconds()
    while True:
        live = await toward.cluster.get(ref)
        if live is None:
            raise DeployFailed(f"{ref} did not come up: somebody has deleted it.", reason="drift")
        now = argo.phase(live)
        if now.rests:
            return live
        if (failure := await toward.failure_of(live)) is not None:
            raise failure_of(ref, failure)
        if time.monotonic() > until:
            raise failure_of(ref, RolloutFailure("progress-deadline", f"{now.name} {now.message}".strip()))
        await asyncio.sleep(LOOK_SECONDS)


async def advance_to(toward: Applier, ref: Ref, percent: int) -> None:
    """Bring a Rollout's canary to a share, where its own steps lead there; 0 aborts it.

    Raises:
        DeployFailed: Its controller gave it up, or it did not get there in time.
        TargetRefused: Its steps do not lead there, or its controller alone decides when they continue.
    """
    if percent == 0:
        await abort(toward, ref)
        return
    live = await wait_until_paused(toward, ref)
    while (weight := argo.own_weight(live)) != percent:
        if argo.next_weight(live) != percent:
            raise _decided_elsewhere(ref, live, weight, percent)
        await toward.lock.require()
        await toward.cluster.report(ref, {"pauseConditions": None})
        live = await wait_until_paused(toward, ref)


async def abort(toward: Applier, ref: Ref) -> None:
    """Abort a Rollout, so that its controller gives all traffic back to what was stable, and wait until it has.

    Nothing is to be given back where its canary has none, or where it has become what is stable.

    Raises:
        DeployFailed: It has not in time.
    """
    until = time.monotonic() + toward.timeout.total_seconds()
    while (live := await toward.cluster.get(ref)) is not None and not argo.is_promoted(live):
        if argo.own_weight(live) and not table(live.get("status")).get("abort"):
            await toward.lock.require()
            await toward.cluster.report(ref, {"abort": True})
        elif (await share(toward.cluster, live))[0] == 0:
            return
        if time.monotonic() > until:
            raise DeployFailed(f"{ref} was aborted, and its canary still has traffic.", reason="progress-deadline")
        await asyncio.sleep(LOOK_SECONDS)


async def share(cluster: Cluster, live: Manifest) -> tuple[float, str]:
    """The share of the traffic that a Rollout's canary has, in percent, and how that is known."""
    if argo.is_promoted(live):
        return 100.0, "its controller has gone through all of its steps"
    if argo.own_weight(live) is None:
        return 0.0, "its strategy has no shares"
    if (weight := argo.reported_weight(live)) is not None:
        return weight, "as its traffic router says"
    sets = owned_by(live, await cluster.list("apps/v1", "ReplicaSet", _labels(live)))
    canary = newest(live, sets)
    ready = {
        replica_set["metadata"]["uid"]: int(table(replica_set.get("status")).get("readyReplicas") or 0)
        for replica_set in sets
    }
    own, total = (ready[canary["metadata"]["uid"]] if canary else 0), sum(ready.values())
    return (100 * own / total if total else 0.0), f"{own} of {total} ready replicas"


def _labels(live: Manifest) -> dict[str, str]:
    return table(table(live["spec"].get("selector")).get("matchLabels"))


def _decided_elsewhere(ref: Ref, live: Manifest, weight: int | None, percent: int) -> TargetRefused:
    now = argo.phase(live)
    return TargetRefused(
        f"{ref} is not given {percent} % of the traffic: its own steps decide ({argo.steps_in_words(live)}). "
        f"It is {now.name} at {'no share at all' if weight is None else f'{weight} %'}.",
        remedy="Write the shares of its own steps into `[[deploy.steps]]`, each followed by a pause without a duration "
        "in the Rollout; or leave the steps to its controller.",
        reason="rollout-steps",
    )
