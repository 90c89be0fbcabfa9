"""The deploy target `kubernetes`: one service's manifests in one namespace, and the way back to those before them.

Called by the deployment stage and by rollback. What is to be undone is recorded in the cluster before anything is
applied, every object carries the release it is of, and a step that a crash left unrecorded is found done and repeated
without effect. The manifests are the commit's; the credentials are the engine's alone.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path

from phasegate.infra.deploy.kubernetes import serving
from phasegate.infra.deploy.kubernetes.api.client import Cluster, connect
from phasegate.infra.deploy.kubernetes.api.diff import cleaned, difference
from phasegate.infra.deploy.kubernetes.api.lock import lock
from phasegate.infra.deploy.kubernetes.api.manifests import WORKLOADS, Manifest, Ref, read_manifests
from phasegate.infra.deploy.kubernetes.apply import Applier, apply_taking_ownership, owned_elsewhere
from phasegate.infra.deploy.kubernetes.canary import candidates
from phasegate.infra.deploy.kubernetes.canary.manifests import canaries
from phasegate.infra.deploy.kubernetes.canary.routes import services_behind
from phasegate.infra.deploy.kubernetes.context import ChangeContext
from phasegate.infra.deploy.kubernetes.pod_logs import pod_logs
from phasegate.infra.deploy.kubernetes.records import Record, Records, stamp_of, stamped
from phasegate.infra.deploy.kubernetes.rollout import revision_of
from phasegate.infra.deploy.kubernetes.status import live_release, revision
from phasegate.infra.deploy.service_folder import ServiceFolder
from phasegate.infra.deploy.target import (
    Candidate,
    Check,
    LiveRelease,
    Preview,
    Release,
    TargetState,
    Weight,
    require_replaceable,
)
from phasegate.infra.errors import DeployFailed
from phasegate.infra.policy.deploy import DeployPolicy

_KEPT = 1_000_000
"""Characters of what a release's pods wrote that are kept once they are gone."""


class KubernetesTarget:
    """Target of one service's objects in a namespace; satisfies `DeployTarget`."""

    def __init__(
        self,
        policy: DeployPolicy,
        *,
        service: str,
        scratch: Path,
        state_folder: Path,
        checkout: Callable[[str, Path], None],
        environment: Mapping[str, str],
    ) -> None:
        """Name the service; the cluster is not reached before it is needed.

        Args:
            policy: `[deploy]`.
            service: What the service is called, unique to its repository.
            scratch: Where commits' files are put to read manifests from.
            state_folder: Phasegate's state; what pods wrote is kept there once they are gone.
            checkout: Writes a commit's files into a folder that does not exist yet; run in a thread.
            environment: The engine's; KUBECONFIG and HOME say how the cluster is reached.

        Raises:
            ValueError: The service's name could leave its folder.
        """
        self._policy = policy
        self._service = service
        self._scratch = scratch
        self._folder = ServiceFolder(state_folder, service)
        self._checkout = checkout
        self._environment = environment

    @cached_property
    def _cluster(self) -> Cluster:
        return connect(self._policy.namespace, context=self._policy.context, environment=self._environment)

    def preflight(self, commit: str) -> None:
        """As `DeployTarget.preflight`: the manifests must be ones that can be released."""
        self._read_manifests(commit)

    async def status(self) -> TargetState:
        """As `DeployTarget.status`."""
        records = self._records()
        state = await records.state()
        current = await records.record(state.current) if state.current else None
        return TargetState(
            target="kubernetes",
            service=self._service,
            current=await live_release(self._cluster, current, current.manifests) if current else None,
            previous=current.previous if current else None,
            candidates=tuple(
                [await self._candidate(await records.record(release_id), current) for release_id in state.candidates]
            ),
            revision=await revision(self._cluster, current) if current else "",
        )

    async def preview(self, commit: str) -> Preview:
        """As `DeployTarget.preview`: each object as it is live beside what applying it would make of it."""
        desired = await self._manifests(commit)
        records = self._records()
        state = await records.state()
        current = await records.record(state.current) if state.current else None
        changes: list[str] = []
        taking: list[str] = []
        for manifest in desired:
            stamp = stamped(manifest, service=self._service, release_id="planned", commit=commit)
            live = await self._cluster.get(Ref.of(manifest))
            predicted, fields = await owned_elsewhere(self._cluster, stamp)
            taking += map(str, fields)
            changes.append(_titled(Ref.of(manifest), difference(live, predicted if live else manifest)))
        if current:
            for ref in sorted(current.refs - {Ref.of(manifest) for manifest in desired}):
                before = next((manifest for manifest in current.before if Ref.of(manifest) == ref), None)
                changes.append(_titled(ref, difference(await self._cluster.get(ref), before)))
        return Preview(changes="\n".join(change for change in changes if change), taking=tuple(taking))

    async def start_candidate(self, release_id: str, commit: str, *, taking: Collection[str] = ()) -> Candidate:
        """As `DeployTarget.start_candidate`: what is live is recorded, and the API server tries the manifests.

        Raises:
            DeployFailed: Also when the id was given to another commit before.
            ConfigError: The commit's manifests cannot be released.
        """
        async with self._changing() as change:
            record = await self._prepared(change, release_id, commit, taking)
            if record.canaries:
                await candidates.start(change, record)
            elif release_id not in change.state.candidates:
                change.state.candidates.append(release_id)
                await change.records.write_state(change.state)
            beside = [*record.canaries, *record.manifests] if record.canaries else []  # a canary's own Service first
            url, port = _address(beside, self._policy) if beside else ("", 0)
            return Candidate(release_id=release_id, commit=commit, url=url, port=port, checks=record.checks)

    async def set_weight(self, release_id: str, percent: int) -> Weight:
        """As `DeployTarget.set_weight`: by an HTTPRoute's weights, by replicas, or as a Rollout's own steps have it."""
        async with self._changing() as change:
            record = await change.records.record(release_id)
            if release_id not in change.state.candidates:
                raise DeployFailed(f"{self._service} has no candidate {release_id}.", release_id=release_id)
            return await candidates.set_weight(change, record, percent)

    async def cut_over(self, release_id: str, *, over: Collection[str | None] = ()) -> Release:
        """As `DeployTarget.cut_over`: applied, waited for as kubectl does, and read back."""
        async with self._changing() as change:
            state = change.state
            if release_id not in state.releases:
                await change.records.record(release_id)  # which says that there is none
            require_replaceable(self._service, release_id, state.current, over)
            record = await change.records.record(release_id)
            if not await serving.serves(change, record):
                await serving.replace_current(change, record)
            await candidates.end(change, record)
            return Release(
                target="kubernetes",
                service=self._service,
                commit=record.commit,
                release_id=release_id,
                url=record.url,
                port=record.port,
                previous=record.previous,
                checks=record.checks,
            )

    async def stop_candidate(self, release_id: str) -> None:
        """As `DeployTarget.stop_candidate`."""
        async with self._changing() as change:
            if release_id in change.state.candidates:
                await candidates.end(change, await change.records.record(release_id))

    async def restore(self, release_id: str | None) -> TargetState:
        """As `DeployTarget.restore`; for `None`, put back what was there before phasegate came, and delete the rest."""
        async with self._changing() as change:
            record = await change.records.record(release_id) if release_id is not None else None
            if record is None or not await serving.serves(change, record):
                if (leaving := await change.serving()) is not None and leaving.release_id != release_id:
                    await self._keep_log(leaving, leaving.manifests)
                await serving.converge(change, record)
                await serving.mark_current(change, release_id)
        return await self.status()

    async def stop(self) -> None:
        """As `DeployTarget.stop`: workloads are scaled to nothing, what cannot be is deleted."""
        async with self._changing() as change:
            for release_id in list(change.state.candidates):
                await candidates.end(change, await change.records.record(release_id))
            if change.state.current is None:
                return
            record = await change.records.record(change.state.current)
            workloads = [manifest for manifest in record.manifests if manifest["kind"] in WORKLOADS]
            asleep = [
                {**workload, "spec": {**workload["spec"], "replicas": 0}} for workload in workloads if _scales(workload)
            ]
            await change.applier.roll_out_to(asleep)
            await change.applier.delete_and_wait(Ref.of(workload) for workload in workloads if not _scales(workload))

    async def log(self, release_id: str, *, characters: int) -> str:
        """As `DeployTarget.log`: what the pods have written; once they are gone, what was kept of it."""
        state = await self._records().state()
        if release_id in {state.current, state.changing, *state.candidates}:
            record = await self._records().record(release_id)
            beside = release_id in state.candidates and record.canaries
            text = await self._pod_logs(record, record.canaries if beside else record.manifests, characters)
            if text:
                return text
        return self._folder.log_text(release_id, characters=characters)

    async def _pod_logs(self, record: Record, manifests: Sequence[Manifest], characters: int = _KEPT) -> str:
        return await pod_logs(self._cluster, record.release_id, manifests, characters=characters)

    async def _keep_log(self, record: Record, manifests: Sequence[Manifest]) -> None:
        if text := await self._pod_logs(record, manifests):
            self._folder.keep_log(record.release_id, text)

    async def _candidate(self, record: Record, current: Record | None) -> LiveRelease:
        candidate = await live_release(self._cluster, record, record.canaries)
        share, how = await candidates.share_of(self._cluster, record, current)
        return candidate.model_copy(
            update={"weight": share, "detail": "; ".join(part for part in (candidate.detail, how) if part)}
        )

    def _records(self) -> Records:
        return Records(self._cluster, self._service)

    @asynccontextmanager
    async def _changing(self) -> AsyncGenerator[ChangeContext]:
        records = self._records()
        async with lock(self._cluster, records.name) as held:
            toward = Applier(self._cluster, held, self._service, self._policy.rollout_timeout)
            yield ChangeContext(await records.state(), records, toward, self._keep_log)

    async def _prepared(self, change: ChangeContext, release_id: str, commit: str, taking: Collection[str]) -> Record:
        """The record of a release, written before anything of it is applied; found again by its id."""
        if release_id in change.state.releases:
            record = await change.records.record(release_id)
            if record.commit != commit:
                raise DeployFailed(f"Release {release_id} is of commit {record.commit}, not {commit}.")
            return record
        manifests = await self._manifests(commit)
        manifests = [
            stamped(manifest, service=self._service, release_id=release_id, commit=commit) for manifest in manifests
        ]
        present = {Ref.of(manifest): await self._cluster.get(Ref.of(manifest)) for manifest in manifests}
        live = {ref: manifest for ref, manifest in present.items() if manifest is not None}
        for manifest in manifests:
            await apply_taking_ownership(self._cluster, manifest, taking, dry_run=True)
        former = await change.records.record(change.state.current) if change.state.current else None
        foreign = [cleaned(manifest) for manifest in live.values() if stamp_of(manifest)[0] != self._service]
        foreign_refs = {Ref.of(manifest) for manifest in foreign}
        revisions = {str(ref): revision_of(manifest) for ref, manifest in live.items() if revision_of(manifest)}
        url, port = _address(manifests, self._policy)
        record = Record(
            release_id=release_id,
            commit=commit,
            manifests=manifests,
            before=[
                *foreign,
                *(manifest for manifest in (former.before if former else []) if Ref.of(manifest) not in foreign_refs),
            ],
            taking=tuple(taking),
            canaries=self._canaries(manifests, frozenset(live), former) if self._policy.strategy == "canary" else [],
            revisions=revisions,
            url=url,
            port=port,
            checks=(Check(name="dry-run", ok=True, detail=_accepted(len(manifests), revisions)),),
        )
        await change.records.write_record(record)
        change.state.releases.append(release_id)
        await change.records.write_state(change.state)
        return record

    def _canaries(self, manifests: Sequence[Manifest], live: frozenset[Ref], former: Record | None) -> list[Manifest]:
        routes = [route for route in candidates.routes_of(former) if Ref.of(route) in live]
        routed = {name for route in routes for name in services_behind(route)}
        by_steps = any(step.kind == "set_weight" for step in self._policy.steps)  # which begin with the smallest share
        percent = 0 if by_steps else self._policy.canary_percent
        return canaries(manifests, percent=percent, live=live, routed=routed)

    async def _manifests(self, commit: str) -> list[Manifest]:
        return await asyncio.to_thread(self._read_manifests, commit)

    def _read_manifests(self, commit: str) -> list[Manifest]:
        """The manifests of a commit.

        Raises:
            ConfigError: They cannot be released.
        """
        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="manifests-", dir=self._scratch, ignore_cleanup_errors=True) as folder:
            self._checkout(commit, Path(folder) / "source")
            return read_manifests(Path(folder) / "source", self._policy.manifests, namespace=self._policy.namespace)


def _accepted(objects: int, revisions: Mapping[str, str]) -> str:
    """Result of the dry run in words, with the revisions that `kubectl rollout undo --to-revision` would go back to."""
    before = ", ".join(f"{name} at revision {revision}" for name, revision in revisions.items())
    return f"the API server accepts {objects} objects{f'; before: {before}' if before else ''}"


def _titled(ref: Ref, diff: str) -> str:
    return f"# {ref}\n{diff}" if diff else ""


def _scales(workload: Manifest) -> bool:
    return bool(workload["kind"] != "DaemonSet")


def _address(manifests: Iterable[Manifest], policy: DeployPolicy) -> tuple[str, int]:
    """Address and port of a release: as policy says, or by its first Service's name inside the cluster."""
    services = [
        manifest for manifest in manifests if manifest["kind"] == "Service" and manifest.get("spec", {}).get("ports")
    ]
    port = int(services[0]["spec"]["ports"][0].get("port", 80)) if services else 0
    if policy.url or not services:
        return policy.url.rstrip("/"), port
    return f"http://{services[0]['metadata']['name']}.{policy.namespace}.svc:{port}", port
