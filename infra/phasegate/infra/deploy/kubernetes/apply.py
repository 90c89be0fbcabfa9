"""Brings objects to where a release wants them: applied, waited for, the rest taken away, and all of it read back.

Called by the target for a release, for the one it goes back to, and for canaries. Each step may be repeated: what is
there already is only looked at. It knows nothing of services' records.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from phasegate.infra.deploy.kubernetes.api.client import Cluster
from phasegate.infra.deploy.kubernetes.api.diff import differ
from phasegate.infra.deploy.kubernetes.api.errors import FieldConflict, OwnedField
from phasegate.infra.deploy.kubernetes.api.lock import HeldLock
from phasegate.infra.deploy.kubernetes.api.manifests import WORKLOADS, Manifest, Ref, table
from phasegate.infra.deploy.kubernetes.argo import is_rollout, promotion
from phasegate.infra.deploy.kubernetes.records import stamp_of
from phasegate.infra.deploy.kubernetes.rollout import (
    RolloutFailure,
    has_been_seen,
    newest,
    owned_by,
    progress,
    rollout_failure,
)
from phasegate.infra.errors import DeployFailed, TargetRefused

LOOK_SECONDS = 0.2
"""Between two looks at what is waited for."""
_REPLICA_SETS = ("Deployment", "Rollout")
"""Kinds whose pods belong to a ReplicaSet of theirs."""


@dataclass
class Applier:
    """Applies objects, and waits until they are rolled out or gone.

    Attributes:
        cluster: Where they are.
        lock: The service's lock, held.
        service: Whose objects may be deleted.
        timeout: How long one rollout or deletion may take.
    """

    cluster: Cluster
    lock: HeldLock
    service: str
    timeout: timedelta

    async def apply(self, manifests: Iterable[Manifest], taking: Collection[str] = ()) -> None:
        """Apply objects in their order.

        Raises:
            FieldConflict: Another manager owns a field that may not be taken from it.
        """
        for manifest in manifests:
            await self.lock.require()
            await apply_taking_ownership(self.cluster, manifest, taking)

    async def roll_out(self, manifests: Iterable[Manifest], *, back: bool = False) -> str:
        """Wait until every workload among the manifests is rolled out, as kubectl does.

        Args:
            manifests: Applied already.
            back: True if this is the way back, where a Rollout's own steps and analyses are skipped. On the way forward
                only its pauses are ended.

        Returns:
            What was reached, for people.

        Raises:
            DeployFailed: It will not come up by itself, or has not in time.
            TargetRefused: It would, but for something a person has to give.
        """
        workloads = [Ref.of(manifest) for manifest in manifests if manifest["kind"] in WORKLOADS]
        return (
            "; ".join([await self._rolled_out(ref, back=back) for ref in workloads]) or "nothing had to be rolled out"
        )

    async def roll_out_to(self, manifests: Sequence[Manifest]) -> None:
        """Apply workloads of the service's own, and wait until they are rolled out.

        Raises:
            DeployFailed: One will not come up, or has not in time.
            TargetRefused: Something is missing that a person has to give.
        """
        await self.apply(manifests)
        await self.roll_out(manifests)

    async def delete_and_wait(self, refs: Iterable[Ref]) -> None:
        """Delete those of the objects that are the service's, and wait until they are gone.

        Raises:
            DeployFailed: One stays.
        """
        for ref in refs:
            live = await self.cluster.get(ref)
            if live is None or stamp_of(live)[0] != self.service:
                continue  # another maker of it may want to keep it
            await self.lock.require()
            await self.cluster.delete(ref)
            await self._wait_until_deleted(ref)

    async def failure_of(self, live: Manifest) -> RolloutFailure | None:
        """Failure that the newest pods or the controller report, or `None` if there is none or the spec is unseen."""
        if not has_been_seen(live):
            return None
        return rollout_failure(live, await newest_pods(self.cluster, live))

    async def _rolled_out(self, ref: Ref, *, back: bool) -> str:
        until, detail = time.monotonic() + self.timeout.total_seconds(), "it is not there"
        while True:
            live = await self.cluster.get(ref)
            if live is None:
                raise DeployFailed(f"{ref} did not come up: somebody has deleted it.", reason="drift")
            now = progress(live)
            if now.done:
                return f"{ref}: {now.detail}"
            detail = now.detail
            if is_rollout(live) and (order := promotion(live, full=back)):
                await self.lock.require()
                await self.cluster.report(ref, order)
            if (failure := await self.failure_of(live)) is not None:
                raise failure_of(ref, failure)
            if time.monotonic() > until:
                limit = f"{self.timeout.total_seconds():g} s"
                late = RolloutFailure("progress-deadline", f"{detail} after {limit}, which is deploy.rollout_timeout")
                raise failure_of(ref, late)
            await asyncio.sleep(LOOK_SECONDS)

    async def _wait_until_deleted(self, ref: Ref) -> None:
        until = time.monotonic() + self.timeout.total_seconds()
        while await self.cluster.get(ref) is not None:
            if time.monotonic() > until:
                raise DeployFailed(
                    f"{ref} was deleted and stays: something else holds on to it.",
                    remedy=f"Look at its finalizers: `kubectl get {ref} -o yaml`.",
                    reason="not-deleted",
                )
            await asyncio.sleep(LOOK_SECONDS)


async def newest_pods(cluster: Cluster, live: Manifest) -> list[Manifest]:
    """The pods of what a workload's spec says now."""
    labels = table(live["spec"]["selector"].get("matchLabels"))
    owner: Manifest | None = live
    if live["kind"] in _REPLICA_SETS:
        owner = newest(live, await cluster.list("apps/v1", "ReplicaSet", labels))
    pods = owned_by(owner, await cluster.list("v1", "Pod", labels)) if owner else []
    return pods if live["kind"] in _REPLICA_SETS else [pod for pod in pods if _is_of_update(pod, live)]


async def apply_taking_ownership(
    cluster: Cluster, manifest: Manifest, taking: Collection[str] = (), *, dry_run: bool = False
) -> Manifest:
    """Apply one object; of fields that others own, only those named are taken.

    Raises:
        FieldConflict: Others own a field that is not among these.
    """
    try:
        return await cluster.apply(manifest, dry_run=dry_run)
    except FieldConflict as conflict:
        if contested := tuple(field for field in conflict.fields if str(field) not in taking):
            raise FieldConflict(contested) from conflict
        return await cluster.apply(manifest, dry_run=dry_run, force=True)


async def deviations(cluster: Cluster, manifests: Sequence[Manifest]) -> list[str]:
    """Read objects back from the cluster, and compare them with what was applied.

    The API server itself is asked what applying the manifest would change.

    Returns:
        Deviations, a line for people each.
    """
    lines: list[str] = []
    for manifest in manifests:
        ref = Ref.of(manifest)
        live = await cluster.get(ref)
        if live is None:
            lines.append(f"{ref} is not there")
            continue
        try:
            predicted = await cluster.apply(manifest, dry_run=True)
        except FieldConflict as conflict:
            lines += [f"somebody else has changed {field}" for field in conflict.fields]
            continue
        if differ(live, predicted):
            lines.append(f"{ref} is not as it was applied")
    return lines


async def owned_elsewhere(cluster: Cluster, manifest: Manifest) -> tuple[Manifest, tuple[OwnedField, ...]]:
    """Predict an object as it would be once applied, and the fields that this takes from others."""
    try:
        return await cluster.apply(manifest, dry_run=True), ()
    except FieldConflict as conflict:
        return await cluster.apply(manifest, dry_run=True, force=True), conflict.fields


def _is_of_update(pod: Manifest, live: Manifest) -> bool:
    """True if a pod is of a StatefulSet's new revision; of a DaemonSet, which does not say, every pod counts."""
    revision = table(live.get("status")).get("updateRevision")
    labels = table(pod["metadata"].get("labels"))
    return revision is None or labels.get("controller-revision-hash") == revision


def failure_of(ref: Ref, failure: RolloutFailure) -> DeployFailed | TargetRefused:
    """The error that stands for what keeps a rollout from succeeding."""
    text = f"{ref} did not come up ({failure.reason}): {failure.detail}."
    if failure.end == "ask":
        return TargetRefused(text, remedy="Raise the quota, or free what it counts; then go on.", reason=failure.reason)
    return DeployFailed(
        text,
        remedy="Mend what it says in the change or its manifests, and deploy anew.",
        reason=failure.reason,
    )
