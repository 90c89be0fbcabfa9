"""Status of a release at this moment: its pods that can be reached, and changes that others made to it.

Called by the target. It reads and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.deploy.kubernetes.api.client import FIELD_MANAGER, Cluster
from phasegate.infra.deploy.kubernetes.api.manifests import WORKLOADS, Manifest, Ref, tables
from phasegate.infra.deploy.kubernetes.records import Record
from phasegate.infra.deploy.kubernetes.rollout import available, progress
from phasegate.infra.deploy.target import LiveRelease


async def live_release(cluster: Cluster, record: Record, manifests: Iterable[Manifest]) -> LiveRelease:
    """A release as its workloads among these manifests are found; alive while each has a pod that can be reached."""
    details: list[str] = []
    alive = True
    for ref in [Ref.of(manifest) for manifest in manifests if manifest["kind"] in WORKLOADS]:
        live = await cluster.get(ref)
        alive = alive and live is not None and available(live) > 0
        details.append(f"{ref}: {progress(live).detail if live else 'is not there'}")
    return LiveRelease(
        release_id=record.release_id,
        commit=record.commit,
        url=record.url,
        port=record.port,
        alive=alive,
        detail="; ".join(details),
    )


async def revision(cluster: Cluster, record: Record) -> str:
    """Digest of a release's live objects; it changes once one is made again, or others take or change its fields."""
    objects: list[object] = []
    for ref in sorted(record.refs):
        live = await cluster.get(ref)
        managers = tables(live["metadata"].get("managedFields")) if live else []
        ours = [manager.get("fieldsV1") for manager in managers if manager.get("manager") == FIELD_MANAGER]
        objects.append([str(ref), live["metadata"]["uid"] if live else "", ours])
    return sha256(canonical_json(objects))
