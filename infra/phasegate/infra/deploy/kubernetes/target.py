"""The deploy target `kubernetes`: one service's manifests in one namespace, and the way back to those before them.

Called by the deployment stage and by rollback. What is to be undone is recorded in the cluster before anything is
applied, every object carries the release it is of, and a step that a crash left unrecorded is found done and repeated
without effect. The manifests are the commit's; the credentials are the engine's, and nobody else sees them.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from phasegate.infra.deploy.kubernetes.canary import canaries
from phasegate.infra.deploy.kubernetes.cluster import Cluster, connect
from phasegate.infra.deploy.kubernetes.convergence import Convergence, apply_taking, deviations, owned_elsewhere
from phasegate.infra.deploy.kubernetes.difference import cleaned, difference
from phasegate.infra.deploy.kubernetes.lock import lock
from phasegate.infra.deploy.kubernetes.manifests import WORKLOADS, Manifest, Ref, read_manifests
from phasegate.infra.deploy.kubernetes.observation import live_release, revision
from phasegate.infra.deploy.kubernetes.records import Record, Records, State, stamp_of, stamped
from phasegate.infra.deploy.kubernetes.rollout import revision_of
from phasegate.infra.deploy.target import (
    Candidate,
    Check,
    Preview,
    Release,
    TargetState,
    Weight,
    no_weight,
    require_name,
    require_replaceable,
)
from phasegate.infra.errors import DeployFailed, PhasegateError, TargetRefused, TargetUnavailable
from phasegate.infra.policy.model import DeployPolicy


@dataclass
class _Change:
    """One change under the service's lock."""

    state: State
    records: Records
    toward: Convergence


class KubernetesTarget:
    """One service's objects in a namespace; satisfies `DeployTarget`."""

    def __init__(
        self,
        policy: DeployPolicy,
        *,
        service: str,
        scratch: Path,
        checkout: Callable[[str, Path], None],
        environment: Mapping[str, str],
    ) -> None:
        """Name the service; the cluster is not reached before it is needed.

        Args:
            policy: `[deploy]`.
            service: What the service is called, unique to its repository.
            scratch: Where commits' files are put to read manifests from.
            checkout: Writes a commit's files into a folder that does not exist yet; run in a thread.
            environment: The engine's; KUBECONFIG and HOME say how the cluster is reached.

        Raises:
            ValueError: The service's name could lead elsewhere.
        """
        self._policy = policy
        self._service = require_name(service)
        self._scratch = scratch
        self._checkout = checkout
        self._environment = environment

    @cached_property
    def _cluster(self) -> Cluster:
        return connect(self._policy.namespace, context=self._policy.context, environment=self._environment)

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
                [
                    await live_release(self._cluster, one, one.canaries)
                    for one in [await records.record(release_id) for release_id in state.candidates]
                ]
            ),
            revision=await revision(self._cluster, current) if current else "",
        )

    async def preview(self, commit: str) -> Preview:
        """As `DeployTarget.preview`: each object as it is live beside what applying it would make of it."""
        wanted = await self._manifests(commit)
        records = self._records()
        state = await records.state()
        current = await records.record(state.current) if state.current else None
        changes: list[str] = []
        taking: list[str] = []
        for manifest in wanted:
            stamp = stamped(manifest, service=self._service, release_id="planned", commit=commit)
            live = await self._cluster.get(Ref.of(manifest))
            predicted, taken = await owned_elsewhere(self._cluster, stamp)
            taking += map(str, taken)
            changes.append(_titled(Ref.of(manifest), difference(live, predicted if live else manifest)))
        if current:
            for ref in sorted(current.refs - {Ref.of(manifest) for manifest in wanted}):
                before = next((one for one in current.before if Ref.of(one) == ref), None)
                changes.append(_titled(ref, difference(await self._cluster.get(ref), before)))
        return Preview(changes="\n".join(one for one in changes if one), taking=tuple(taking))

    async def start_candidate(self, release_id: str, commit: str, *, taking: Collection[str] = ()) -> Candidate:
        """As `DeployTarget.start_candidate`: what is live is recorded, and the API server tries the manifests.

        Raises:
            DeployFailed: Also when the id was given to another commit before.
            ConfigError: The commit's manifests cannot be released.
        """
        async with self._changing() as change:
            record = await self._prepared(change, release_id, commit, taking)
            if record.canaries:
                await self._start_canaries(change, record)
            elif release_id not in change.state.candidates:
                change.state.candidates.append(release_id)
                await change.records.write_state(change.state)
            return Candidate(
                release_id=release_id,
                commit=commit,
                url=record.url if record.canaries else "",
                port=record.port if record.canaries else 0,
                checks=record.checks,
            )

    async def set_weight(self, release_id: str, percent: int) -> Weight:
        """As `DeployTarget.set_weight`: a canary keeps the share that it began with."""
        raise no_weight("kubernetes", "Take the `set_weight` steps out of `[deploy]`.")

    async def cut_over(self, release_id: str, *, over: Collection[str | None] = ()) -> Release:
        """As `DeployTarget.cut_over`: applied, waited for as kubectl does, and read back."""
        async with self._changing() as change:
            state = change.state
            if release_id not in state.releases:
                await change.records.record(release_id)  # which says that there is none
            require_replaceable(self._service, release_id, state.current, over)
            record = await change.records.record(release_id)
            if not await self._serves(state, record):
                await self._replace_current(change, record)
            await self._end_canaries(change, record)
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
                await self._end_canaries(change, await change.records.record(release_id))

    async def restore(self, release_id: str | None) -> TargetState:
        """As `DeployTarget.restore`; None: what was there before phasegate came is put back, the rest deleted."""
        async with self._changing() as change:
            record = await change.records.record(release_id) if release_id is not None else None
            if record is None or not await self._serves(change.state, record):
                await self._converge(change, record)
                await self._settle(change, release_id)
        return await self.status()

    async def stop(self) -> None:
        """As `DeployTarget.stop`: workloads are scaled to nothing, what cannot be is deleted."""
        async with self._changing() as change:
            for release_id in list(change.state.candidates):
                await self._end_canaries(change, await change.records.record(release_id))
            if change.state.current is None:
                return
            record = await change.records.record(change.state.current)
            workloads = [one for one in record.manifests if one["kind"] in WORKLOADS]
            asleep = [{**one, "spec": {**one["spec"], "replicas": 0}} for one in workloads if _scales(one)]
            await change.toward.apply(asleep)
            await change.toward.roll_out(asleep)
            await change.toward.take_away(Ref.of(one) for one in workloads if not _scales(one))

    def _records(self) -> Records:
        return Records(self._cluster, self._service)

    @asynccontextmanager
    async def _changing(self) -> AsyncGenerator[_Change]:
        records = self._records()
        async with lock(self._cluster, records.name) as held:
            toward = Convergence(self._cluster, held, self._service, self._policy.rollout_timeout)
            yield _Change(await records.state(), records, toward)

    async def _prepared(self, change: _Change, release_id: str, commit: str, taking: Collection[str]) -> Record:
        """The record of a release, written before anything of it is applied; found again by its id."""
        if release_id in change.state.releases:
            record = await change.records.record(release_id)
            if record.commit != commit:
                raise DeployFailed(f"Release {release_id} is of commit {record.commit}, not {commit}.")
            return record
        wanted = await self._manifests(commit)
        wanted = [stamped(one, service=self._service, release_id=release_id, commit=commit) for one in wanted]
        found = {Ref.of(one): await self._cluster.get(Ref.of(one)) for one in wanted}
        live = {ref: one for ref, one in found.items() if one is not None}
        for manifest in wanted:
            await apply_taking(self._cluster, manifest, taking, dry_run=True)
        former = await change.records.record(change.state.current) if change.state.current else None
        foreign = [cleaned(one) for one in live.values() if stamp_of(one)[0] != self._service]
        known = {Ref.of(one) for one in foreign}
        revisions = {str(ref): revision_of(one) for ref, one in live.items() if revision_of(one)}
        url, port = _address(wanted, self._policy)
        record = Record(
            release_id=release_id,
            commit=commit,
            manifests=wanted,
            before=[*foreign, *(one for one in (former.before if former else []) if Ref.of(one) not in known)],
            taking=tuple(taking),
            canaries=(
                canaries(wanted, percent=self._policy.canary_percent, live=frozenset(live))
                if self._policy.strategy == "canary"
                else []
            ),
            revisions=revisions,
            url=url,
            port=port,
            checks=(Check(name="dry-run", ok=True, detail=_accepted(len(wanted), revisions)),),
        )
        await change.records.write_record(record)
        change.state.releases.append(release_id)
        await change.records.write_state(change.state)
        return record

    async def _start_canaries(self, change: _Change, record: Record) -> None:
        """Run the canaries; whatever does not come up is taken away again."""
        if record.release_id not in change.state.candidates:
            change.state.candidates.append(record.release_id)
            await change.records.write_state(change.state)  # before they run: a crash leaves none that nobody knows
        try:
            await change.toward.apply(record.canaries, record.taking)
            reached = await change.toward.roll_out(record.canaries)
        except (DeployFailed, TargetRefused):
            await self._end_canaries(change, record)
            raise
        if not any(check.name == "canary" for check in record.checks):
            record.checks = (*record.checks, Check(name="canary", ok=True, detail=reached))
            await change.records.write_record(record)

    async def _end_canaries(self, change: _Change, record: Record) -> None:
        """Take away what ran beside only; the configuration that serves by now stays."""
        serving = await change.records.record(change.state.current) if change.state.current else None
        staying = serving.refs if serving else set[Ref]()
        await change.toward.take_away({Ref.of(one) for one in record.canaries} - staying)
        if record.release_id in change.state.candidates:
            change.state.candidates.remove(record.release_id)
            await change.records.write_state(change.state)

    async def _replace_current(self, change: _Change, record: Record) -> None:
        """Let a release serve; if it does not come up, what served is put back and serves."""
        state, former = change.state, change.state.current
        if former != record.release_id:
            record.previous = former
        await change.records.write_record(record)
        state.changing = record.release_id
        await change.records.write_state(state)
        try:
            reached = await self._converge(change, record)
        except (DeployFailed, TargetRefused) as failure:
            if former == record.release_id:
                raise
            before = await change.records.record(former) if former else None
            try:
                await self._converge(change, before)
                await self._settle(change, former)
            except PhasegateError as second:
                raise _both(failure, second) from second
            failure.context["restored"] = former or "what was there before"
            raise
        record.checks = (
            *(check for check in record.checks if check.name in {"dry-run", "canary"}),
            Check(name="rollout", ok=True, detail=reached),
            Check(name="read-back", ok=True, detail=f"{len(record.manifests)} objects are live as they were applied"),
            *(Check(name="api-server", ok=True, detail=absence) for absence in self._cluster.absences),
        )
        await change.records.write_record(record)
        await self._settle(change, record.release_id)

    async def _converge(self, change: _Change, record: Record | None) -> str:
        """Bring every object to where a release wants it; None: to where it was before phasegate came.

        Returns:
            What was reached.

        Raises:
            DeployFailed: It did not come up, or is not as it was applied.
            TargetRefused: Something is missing that a person has to give.
        """
        names = dict.fromkeys((change.state.current, change.state.changing))
        leaving = [await change.records.record(name) for name in names if name]
        wanted = list(record.manifests) if record else []
        before = {Ref.of(one): one for one in reversed([one for other in leaving for one in other.before])}
        superfluous = {ref for other in leaving for ref in other.refs} - {Ref.of(one) for one in wanted}
        wanted += [before[ref] for ref in sorted(superfluous) if ref in before]
        taking = {one for other in [*leaving, *([record] if record else [])] for one in other.taking}
        await change.toward.apply(wanted, taking)
        reached = await change.toward.roll_out(wanted)
        await change.toward.take_away(sorted(superfluous - before.keys()))
        if found := await deviations(self._cluster, wanted):
            raise DeployFailed(
                f"It was applied, but read back it is something else: {'; '.join(found)}.",
                remedy="See who changes it: `kubectl get … -o yaml --show-managed-fields` names them.",
                reason="drift",
            )
        return reached

    async def _settle(self, change: _Change, release_id: str | None) -> None:
        change.state.current, change.state.changing = release_id, None
        await change.records.write_state(change.state)

    async def _serves(self, state: State, record: Record) -> bool:
        if state.current != record.release_id or state.changing is not None:
            return False
        live = await live_release(self._cluster, record, record.manifests)
        return live.alive and not await deviations(self._cluster, record.manifests)

    async def _manifests(self, commit: str) -> list[Manifest]:
        """The manifests of a commit.

        Raises:
            ConfigError: They cannot be released.
        """
        self._scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="manifests-", dir=self._scratch))
        try:
            await asyncio.to_thread(self._checkout, commit, folder / "source")
            return read_manifests(folder / "source", self._policy.manifests, namespace=self._policy.namespace)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _both(failure: PhasegateError, second: PhasegateError) -> PhasegateError:
    """A release that failed, and what served before it not put back: its end is the second's."""
    text = f"{failure.message}\nAnd what served before was not put back: {second.message}"
    facts: dict[str, Any] = {**failure.context, "restored": "not yet"}
    kinds = (TargetRefused, TargetUnavailable)
    kind = next((one for one in kinds if isinstance(second, one)), DeployFailed)
    return kind(text, remedy=second.remedy, **facts)


def _accepted(objects: int, revisions: Mapping[str, str]) -> str:
    """What the dry run said, and which revisions `kubectl rollout undo --to-revision` would go back to."""
    before = ", ".join(f"{name} at revision {revision}" for name, revision in revisions.items())
    return f"the API server accepts {objects} objects{f'; before: {before}' if before else ''}"


def _titled(ref: Ref, diff: str) -> str:
    return f"# {ref}\n{diff}" if diff else ""


def _scales(workload: Manifest) -> bool:
    return bool(workload["kind"] != "DaemonSet")


def _address(manifests: Iterable[Manifest], policy: DeployPolicy) -> tuple[str, int]:
    """Where a release answers: as policy says, or by its first Service's name inside the cluster."""
    services = [one for one in manifests if one["kind"] == "Service" and one.get("spec", {}).get("ports")]
    port = int(services[0]["spec"]["ports"][0].get("port", 80)) if services else 0
    if policy.url or not services:
        return policy.url.rstrip("/"), port
    return f"http://{services[0]['metadata']['name']}.{policy.namespace}.svc:{port}", port
