"""Records of a service, kept in the service's own namespace: its state, and each release's manifests.

    ConfigMap phasegate-SERVICE              state: what is current, which candidates there are, every release id
    ConfigMap phasegate-SERVICE-DIGEST       one release: its manifests, and what was there before phasegate came
    Secret    phasegate-SERVICE-DIGEST       the Secrets among these, where there are any
    Lease     phasegate-SERVICE              held during a change

Used by the target. In the cluster rather than on a disk, since another engine may roll a release back. Every write
replaces the version that was read: an engine that lost the lease without noticing cannot write any more.
"""

from __future__ import annotations

import base64
import copy
import gzip
import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from phasegate.infra.deploy.kubernetes.api.client import Cluster
from phasegate.infra.deploy.kubernetes.api.diff import PREFIX
from phasegate.infra.deploy.kubernetes.api.errors import StaleWrite
from phasegate.infra.deploy.kubernetes.api.manifests import Manifest, Ref, table
from phasegate.infra.deploy.target import Check
from phasegate.infra.documents.bounds import MIB, DocumentBounds
from phasegate.infra.documents.compressed import gunzipped_base64
from phasegate.infra.documents.json_text import read_json_table
from phasegate.infra.errors import DeployFailed

_BOUNDS = DocumentBounds(size=64 * MIB, values=5_000_000)
_LABELS = {"app.kubernetes.io/managed-by": "phasegate"}


class Record(BaseModel):
    """Record of one release.

    Attributes:
        manifests: What it wants to be there, as it is applied.
        before: Objects as they were before phasegate first touched them.
        taking: Fields that may be taken from their owners, as the approved plan named them.
        canaries: Objects that run beside the current release while it is a candidate; empty if there are none.
        weight: The share of the traffic last asked for it, in percent; 0 again once it is no candidate any more.
        revisions: Object to the revision its controller counted before.
        previous: The release that was current before it; `None` if none was, or if it has not been current yet.
    """

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    release_id: str
    commit: str
    manifests: list[Manifest]
    before: list[Manifest] = []
    taking: tuple[str, ...] = ()
    canaries: list[Manifest] = []
    weight: int = 0
    revisions: dict[str, str] = {}
    url: str = ""
    port: int = 0
    previous: str | None = None
    checks: tuple[Check, ...] = ()

    @property
    def refs(self) -> set[Ref]:
        """The objects it consists of."""
        return {Ref.of(manifest) for manifest in self.manifests}


class State(BaseModel):
    """State of a service.

    Attributes:
        current: The release that should serve.
        changing: The release that is being made current; found again after a crash.
        candidates: Releases that were prepared and neither serve nor were stopped.
        releases: Every release there ever was, oldest first.
    """

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    service: str
    current: str | None = None
    changing: str | None = None
    candidates: list[str] = []
    releases: list[str] = []


class Records:
    """Records of one service."""

    def __init__(self, cluster: Cluster, service: str) -> None:
        """Name the service; nothing is made yet."""
        self._cluster, self._service = cluster, service
        self.name = f"phasegate-{service}"
        self._versions: dict[str, str] = {}

    async def state(self) -> State:
        """The state as last written, or an empty one if there is none."""
        data = await self._read(Ref("v1", "ConfigMap", self.name))
        return State.model_validate_json(data["state"]) if data else State(service=self._service)

    async def write_state(self, state: State) -> None:
        """Replace the state that was read.

        Raises:
            StaleWrite: Another client wrote it since.
        """
        await self._write(Ref("v1", "ConfigMap", self.name), {"state": state.model_dump_json()})

    async def record(self, release_id: str) -> Record:
        """A release.

        Raises:
            DeployFailed: There is none.
        """
        name = self._name_of(release_id)
        data = await self._read(Ref("v1", "ConfigMap", name))
        if data is None:
            raise DeployFailed(
                f"{self._service} has no release {release_id}.",
                remedy=f"`kubectl get configmap {self.name} -o yaml` shows which there are.",
                release_id=release_id,
            )
        content = _unpacked(data["release"])
        if data.get("secrets") == "true":
            secret = await self._read(Ref("v1", "Secret", name))
            if secret is None:
                raise DeployFailed(
                    f"The Secrets of release {release_id} were deleted: Secret {name} is gone.",
                    remedy="Deploy the release anew.",
                    release_id=release_id,
                )
            secret_content = _unpacked(base64.b64decode(secret["release"]).decode())
            content = {
                key: [*content[key], *secret_content[key]] if key in secret_content else content[key] for key in content
            }
        return Record.model_validate(content)

    async def write_record(self, record: Record) -> None:
        """Keep a release; Secrets go into a Secret of their own.

        Raises:
            StaleWrite: Another client wrote it since it was read.
        """
        content = record.model_dump(mode="json")
        secrets = {
            key: [manifest for manifest in content[key] if _is_secret(manifest)] for key in ("manifests", "before")
        }
        content |= {key: [manifest for manifest in content[key] if not _is_secret(manifest)] for key in secrets}
        name, has_secrets = self._name_of(record.release_id), any(secrets.values())
        if has_secrets:
            await self._write(Ref("v1", "Secret", name), {"release": _packed(secrets)})
        data = {"release_id": record.release_id, "release": _packed(content), "secrets": str(has_secrets).lower()}
        await self._write(Ref("v1", "ConfigMap", name), data)

    def _name_of(self, release_id: str) -> str:
        return f"{self.name}-{hashlib.sha256(release_id.encode()).hexdigest()[:16]}"

    async def _read(self, ref: Ref) -> dict[str, str] | None:
        live = await self._cluster.get(ref)
        if live is None:
            self._versions.pop(str(ref), None)
            return None
        self._versions[str(ref)] = live["metadata"]["resourceVersion"]
        return {name: str(value) for name, value in table(live.get("data")).items()}

    async def _write(self, ref: Ref, data: dict[str, str]) -> None:
        if str(ref) not in self._versions:
            await self._read(ref)  # there when a crash came between this and what refers to it
        metadata: dict[str, Any] = {"name": ref.name, "labels": _LABELS}
        if version := self._versions.get(str(ref)):
            metadata["resourceVersion"] = version
        if ref.kind == "Secret":
            data = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        manifest = {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata, "data": data}
        try:
            written = await self._cluster.write(manifest)
        except StaleWrite:
            live = await self._cluster.get(ref)
            if live is None or live.get("data") != data:  # else it was this write, whose answer was lost
                raise
            written = live
        self._versions[str(ref)] = written["metadata"]["resourceVersion"]


def stamped(manifest: Manifest, *, service: str, release_id: str, commit: str) -> Manifest:
    """A manifest with the key it is found by: which service and release it is of."""
    result = copy.deepcopy(manifest)
    annotations = result["metadata"].setdefault("annotations", {})
    annotations |= {f"{PREFIX}service": service, f"{PREFIX}release": release_id, f"{PREFIX}commit": commit}
    return result


def stamp_of(live: Manifest) -> tuple[str, str]:
    """The service and the release that an object is marked with, or empty strings if phasegate did not mark it."""
    annotations = table(live["metadata"].get("annotations"))
    return str(annotations.get(f"{PREFIX}service", "")), str(annotations.get(f"{PREFIX}release", ""))


def _is_secret(manifest: Manifest) -> bool:
    return bool(manifest["kind"] == "Secret")


def _packed(content: object) -> str:
    """JSON, compressed: the manifests of a release outgrow what a ConfigMap holds otherwise."""
    return base64.b64encode(gzip.compress(json.dumps(content).encode(), mtime=0)).decode()


def _unpacked(text: str) -> dict[str, Any]:
    source = "the release's manifests in the cluster"
    return read_json_table(gunzipped_base64(text, source, _BOUNDS), source, _BOUNDS)
