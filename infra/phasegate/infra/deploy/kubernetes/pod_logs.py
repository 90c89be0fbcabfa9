"""Logs of a release's pods: read through the API server, and kept before the pods go.

Called by the target. Every container counts, and what it wrote before its last restart, which is where a crash loop
says why. Best effort: a log that cannot be read is said to be so in its place, and holds nothing up.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from phasegate.infra.deploy.kubernetes.api.client import Cluster
from phasegate.infra.deploy.kubernetes.api.manifests import WORKLOADS, Manifest, Ref, table, tables
from phasegate.infra.deploy.kubernetes.apply import newest_pods
from phasegate.infra.deploy.kubernetes.records import stamp_of
from phasegate.infra.errors import PhasegateError

_PATIENCE = timedelta(seconds=2)
_LIMIT_SECONDS = 20.0
_LINES = 10_000
_PODS = 10
"""Of a workload, those that have restarted most first."""


@dataclass(frozen=True)
class _Stream:
    pod: str
    container: str
    previous: bool

    @property
    def title(self) -> str:
        before = ", before its last restart" if self.previous else ""
        return f"pod {self.pod}, container {self.container}{before}"


async def pod_logs(cluster: Cluster, release_id: str, manifests: Iterable[Manifest], *, characters: int) -> str:
    """The last that a release's pods wrote, each container's under a line that names it.

    Args:
        cluster: Where they run.
        release_id: Whose they are; what of the manifests is live as another release's is left out.
        manifests: Its workloads are among them.
        characters: The most there may be, shared out among the containers.
    """
    quick = dataclasses.replace(cluster, patience=_PATIENCE, absences=[])
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            streams: list[_Stream] = []
            for ref in [Ref.of(manifest) for manifest in manifests if manifest["kind"] in WORKLOADS]:
                live = await quick.get(ref)
                if live is not None and stamp_of(live)[1] == release_id:
                    pods = sorted(await newest_pods(quick, live), key=_restarts, reverse=True)
                    streams += [stream for pod in pods[:_PODS] for stream in _streams(pod)]
            share = characters // max(1, len(streams))
            return "".join([await _read(quick, stream, share) for stream in streams])
    except PhasegateError as error:
        return f"[the pods of release {release_id} cannot be read: {error.message}]\n"
    except TimeoutError:
        return f"[the logs of release {release_id} could not be read within {_LIMIT_SECONDS:g} s]\n"


async def _read(cluster: Cluster, stream: _Stream, share: int) -> str:
    title = f"==> {stream.title} <==\n"
    try:
        text = await cluster.log(stream.pod, stream.container, lines=_LINES, previous=stream.previous)
    except PhasegateError as error:
        return f"{title}[its log cannot be read: {error.message}]\n"
    tail = text[-max(1, share - len(title)) :]
    return f"{title}{tail}{'' if tail.endswith(chr(10)) or not tail else chr(10)}"


def _streams(pod: Manifest) -> Iterator[_Stream]:
    """Logs of a pod's containers; a container that has not begun yet has none."""
    status = table(pod.get("status"))
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in tables(status.get(kind)):
            name = str(container.get("name"))
            if "terminated" in table(container.get("lastState")):
                yield _Stream(pod["metadata"]["name"], name, previous=True)
            if table(container.get("state")).keys() & {"running", "terminated"}:
                yield _Stream(pod["metadata"]["name"], name, previous=False)


def _restarts(pod: Manifest) -> int:
    statuses = tables(table(pod.get("status")).get("containerStatuses"))
    return sum(int(status.get("restartCount") or 0) for status in statuses)
