"""Access to one namespace of one cluster, through the official client: reads, applies, deletes, waits while it is away.

Called by the target and its parts. It holds the credentials, which no other part sees, and knows nothing of releases.
Every request has a limit. An API server that does not answer is asked again until patience is over; how long that took
is kept for people to read.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import quote, urlencode

import urllib3

from phasegate.infra.deploy.kubernetes.api.errors import fault, is_passing
from phasegate.infra.deploy.kubernetes.api.manifests import Manifest, Ref
from phasegate.infra.documents.bounds import MIB, DocumentBounds
from phasegate.infra.documents.json_text import json_table_or_empty
from phasegate.infra.errors import ConfigError, DeployFailed, TargetUnavailable

FIELD_MANAGER = "phasegate"
_ONE_REQUEST_SECONDS = 15
_LOG_BYTES = 8 * 1024**2
"""Of one container; its last lines are taken first."""
_BOUNDS = DocumentBounds(size=64 * MIB, values=5_000_000)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON = "application/json"
Verb = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True)
class _Kind:
    plural: str
    namespaced: bool


@dataclass(frozen=True)
class _Answer:
    status: int
    body: bytes


@dataclass
class Cluster:
    """A namespace.

    Attributes:
        api: The official client.
        no_answer: What that raises instead of an answer, besides what its transport raises.
        namespace: Its name.
        patience: How long an API server may be away before that is an error.
        absences: How often and how long it was away so far, in words.
    """

    api: Any
    no_answer: type[Exception]
    namespace: str
    patience: timedelta = timedelta(minutes=5)
    absences: list[str] = field(default_factory=list[str])
    _kinds: dict[str, dict[str, _Kind]] = field(default_factory=dict[str, dict[str, _Kind]])

    async def get(self, ref: Ref) -> Manifest | None:
        """An object as it is live, or `None` if there is none."""
        answer = await self._ask("GET", await self._path(ref), what=f"read {ref}", may_be=(404,))
        return None if answer.status == 404 else _object(answer)

    async def list(self, api_version: str, kind: str, labels: Mapping[str, str]) -> list[Manifest]:
        """The objects of a kind that carry these labels."""
        query = {"labelSelector": ",".join(f"{name}={value}" for name, value in labels.items())}
        path = await self._path(Ref(api_version, kind, ""))
        items = _object(await self._ask("GET", path, query, what=f"list {kind}")).get("items")
        return cast("list[Manifest]", items or [])

    async def apply(self, manifest: Manifest, *, dry_run: bool = False, force: bool = False) -> Manifest:
        """Apply an object on the server, as phasegate.

        Args:
            manifest: The fields that are to be so.
            dry_run: Only say what would be.
            force: Take over fields that others own.

        Raises:
            FieldConflict: Another manager owns a field, which would change.
            TargetRefused: A right, a quota or the namespace is missing.
            DeployFailed: The object does not hold.
            TargetUnavailable: The API server stayed away.
        """
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        ref = Ref.of(manifest)
        what = f"{'try' if dry_run else 'apply'} {ref}"
        return _object(await self._ask("PATCH", await self._path(ref), query, _APPLY, manifest, what=what))

    async def report(self, ref: Ref, status: Mapping[str, object]) -> None:
        """Change what an object's status says, as a controller's own command line does; what is None is taken out."""
        body: Manifest = {"status": dict(status)}
        query = {"fieldManager": FIELD_MANAGER}
        path = f"{await self._path(ref)}/status"
        await self._ask("PATCH", path, query, _MERGE, body, what=f"change the status of {ref}")

    async def log(self, pod: str, container: str, *, lines: int, previous: bool = False) -> str:
        """The last lines that a container of a pod wrote, with what it wrote before its last restart if asked for.

        Raises:
            DeployFailed: There is no such pod, or nothing to read of that container.
            TargetRefused: The right to read logs is missing.
            TargetUnavailable: The API server, or the node's kubelet through it, does not answer.
        """
        query = {"container": container, "tailLines": str(lines), "limitBytes": str(_LOG_BYTES)}
        if previous:
            query["previous"] = "true"
        path = f"{await self._path(Ref('v1', 'Pod', pod))}/log"
        answer = await self._ask("GET", path, query, what=f"read the log of Pod/{pod}")
        return answer.body.decode(errors="replace")

    async def write(self, manifest: Manifest) -> Manifest:
        """Create an object, or replace the version of it that was read.

        Raises:
            StaleWrite: Another client wrote it since, or created it first.
        """
        ref = Ref.of(manifest)
        exists = "resourceVersion" in manifest["metadata"]
        path = await self._path(ref if exists else Ref(ref.api_version, ref.kind, ""))
        verb: Verb = "PUT" if exists else "POST"
        return _object(await self._ask(verb, path, {}, _JSON, manifest, what=f"write {ref}"))

    async def delete(self, ref: Ref) -> None:
        """Delete an object and all it owns; nothing happens when there is none."""
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        await self._ask("DELETE", await self._path(ref), {}, _JSON, body, what=f"delete {ref}", may_be=(404,))

    async def _path(self, ref: Ref) -> str:
        """The path of an object, or of all of its kind where the name is empty.

        Raises:
            DeployFailed: The cluster does not know the kind, or it does not belong to a namespace.
        """
        group = f"/apis/{ref.api_version}" if "/" in ref.api_version else f"/api/{ref.api_version}"
        if ref.api_version not in self._kinds:
            answer = await self._ask("GET", group, what=f"look up {ref.api_version}", may_be=(404,))
            resources = cast("list[Manifest]", _object(answer).get("resources") or [])
            kinds = {
                str(resource["kind"]): _Kind(str(resource["name"]), bool(resource["namespaced"]))
                for resource in resources
                if "/" not in str(resource["name"])
            }
            if kinds:  # what a cluster does not know yet, an operator may install
                self._kinds[ref.api_version] = kinds
        kind = self._kinds.get(ref.api_version, {}).get(ref.kind)
        if kind is None or not kind.namespaced:
            why = "is not known to the cluster" if kind is None else "belongs to no namespace"
            raise DeployFailed(
                f"{ref.api_version} {ref.kind} {why}: {ref.name}",
                remedy="Have whoever runs the cluster make what it needs beyond this namespace; leave it out here.",
                reason="invalid",
            )
        path = f"{group}/namespaces/{self.namespace}/{kind.plural}"
        return f"{path}/{quote(ref.name)}" if ref.name else path

    async def _ask(
        self,
        verb: Verb,
        path: str,
        query: Mapping[str, str] | None = None,
        content_type: str = _JSON,
        body: Manifest | None = None,
        *,
        what: str,
        may_be: tuple[int, ...] = (),
    ) -> _Answer:
        """Ask, again and again while the API server is away; every request here may be repeated."""
        began, pause = time.monotonic(), _FIRST_PAUSE
        while True:
            try:
                answer = await asyncio.to_thread(self._once, verb, path, query or {}, content_type, body)
                problem = f"it answered {answer.status}" if is_passing(answer.status, answer.body) else ""
            except (urllib3.exceptions.HTTPError, OSError, self.no_answer) as error:
                answer, problem = None, f"{type(error).__name__}: {str(error)[:200]}"
            waited = time.monotonic() - began
            if answer is not None and not problem:
                break
            if waited + pause > self.patience.total_seconds():
                raise TargetUnavailable(
                    f"The API server has not let phasegate {what} for {waited:.0f} s: {problem}.",
                    remedy="See that it can be reached from where the engine runs; what was begun goes on then.",
                    reason="unavailable",
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        if pause > _FIRST_PAUSE:
            self.absences.append(f"the API server did not answer for {waited:.1f} s, which was waited for")
        if answer.status >= 400 and answer.status not in may_be:
            raise fault(answer.status, answer.body, what=what, namespace=self.namespace)
        return answer

    def _once(
        self, verb: Verb, path: str, query: Mapping[str, str], content_type: str, body: Manifest | None
    ) -> _Answer:
        method, url, headers, _, _ = self.api.param_serialize(
            verb,
            f"{path}?{urlencode(query)}" if query else path,
            header_params={"Accept": _JSON, "Content-Type": content_type},
            auth_settings=["BearerToken"],
        )
        response = self.api.call_api(method, url, headers, body, _request_timeout=_ONE_REQUEST_SECONDS)
        return _Answer(int(response.status), bytes(response.read() or b""))


def connect(namespace: str, *, context: str, environment: Mapping[str, str]) -> Cluster:
    """Reach a cluster with the engine's own credentials.

    Args:
        namespace: Where to work.
        context: A context of the kubeconfig; empty: its current one, or inside a cluster the pod's service account.
        environment: The engine's; KUBECONFIG and HOME are read.

    Raises:
        ConfigError: There is no kubeconfig, or no such context in it.
    """
    # half a second, which only those who release to a cluster spend; an engine that starts again does not
    client: Any = importlib.import_module("kubernetes.client")
    loading: Any = importlib.import_module("kubernetes.config")
    settings = client.Configuration()
    files = environment.get("KUBECONFIG") or str(Path(environment.get("HOME", "~")).expanduser() / ".kube" / "config")
    try:
        if not context and "KUBECONFIG" not in environment and "KUBERNETES_SERVICE_HOST" in os.environ:
            loading.load_incluster_config(client_configuration=settings)
        else:
            loading.load_kube_config(
                files, context=context or None, client_configuration=settings, persist_config=False
            )
    except (loading.ConfigException, OSError, ValueError) as error:
        raise ConfigError(
            f"The cluster cannot be reached: {error}",
            remedy="Set KUBECONFIG for the engine, and [deploy] context in phasegate.toml to one of its contexts.",
        ) from error
    settings.retries = False  # what is tried again, and for how long, is told to people: see `_ask`
    return Cluster(client.ApiClient(settings), client.ApiException, namespace)


def _object(answer: _Answer) -> Manifest:
    return json_table_or_empty(answer.body, "the answer of the cluster", _BOUNDS)
