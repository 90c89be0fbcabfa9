"""Candidates: releases that run beside the current one, the share of the traffic that each takes, and its end.

Called by the target, under the service's lock. What is asked for is recorded before anything is changed, a share is
read back from the cluster, and all traffic is with the current release again before a candidate's pods go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from phasegate.infra.deploy.kubernetes.api.client import Cluster
from phasegate.infra.deploy.kubernetes.api.manifests import Manifest, Ref, table
from phasegate.infra.deploy.kubernetes.apply import LOOK_SECONDS, deviations
from phasegate.infra.deploy.kubernetes.argo import is_rollout
from phasegate.infra.deploy.kubernetes.canary import argo_control
from phasegate.infra.deploy.kubernetes.canary.manifests import (
    canary_replicas,
    canary_services,
    carrying_replicas,
    is_routed,
    rescaled,
    stable_of,
)
from phasegate.infra.deploy.kubernetes.canary.routes import (
    has_gateway,
    is_route,
    route_accepted,
    services_behind,
    shares,
    weighted,
)
from phasegate.infra.deploy.kubernetes.context import ChangeContext
from phasegate.infra.deploy.kubernetes.records import Record, stamp_of
from phasegate.infra.deploy.kubernetes.rollout import has_been_seen, replicas
from phasegate.infra.deploy.target import NOTHING_SERVES, Check, Weight, no_weight
from phasegate.infra.errors import DeployFailed, TargetRefused

_RECEPTION = timedelta(minutes=1)
"""Time that gateways may take to route by another weight; they say so within seconds."""


def routes_of(serving: Record | None) -> list[Manifest]:
    """The routes of the release that serves, as they are without a canary."""
    return [manifest for manifest in serving.manifests if is_route(manifest)] if serving else []


async def start(change: ChangeContext, record: Record) -> None:
    """Run a candidate's objects; if they do not come up, the candidate is ended again.

    Raises:
        DeployFailed: It did not come up.
        TargetRefused: Something is missing that a person has to give, or an object of another owner has its name.
    """
    await _require_free_names(change, record)
    if record.release_id not in change.state.candidates:
        change.state.candidates.append(record.release_id)
        await change.records.write_state(change.state)  # before they run: a crash leaves none unrecorded
    rollouts = [Ref.of(canary) for canary in record.canaries if is_rollout(canary)]
    try:
        await change.applier.apply(record.canaries, record.taking)
        reached = [await change.applier.roll_out(_beside(record))] if _beside(record) else []
        for ref in rollouts:
            live = await argo_control.wait_until_paused(change.applier, ref)
            share, how = await argo_control.share(change.applier.cluster, live)
            reached.append(f"{ref}: at {share:g} % by its own steps, {how}")
    except (DeployFailed, TargetRefused):
        await end(change, record)
        raise
    if not any(check.name == "canary" for check in record.checks):
        record.checks = (*record.checks, Check(name="canary", ok=True, detail="; ".join(reached)))
        await change.records.write_record(record)


async def set_weight(change: ChangeContext, record: Record, percent: int) -> Weight:
    """Give a candidate a share of the traffic, and read it back.

    Raises:
        DeployFailed: The share did not come about.
        TargetRefused: It cannot have that share, or another manager owns the weights.
    """
    if not record.canaries:
        if change.state.current is None:
            return Weight(release_id=record.release_id, wanted=percent, actual=0, detail=NOTHING_SERVES)
        raise no_weight("kubernetes", 'Set `[deploy] strategy = "canary"`, and release Deployments or Rollouts.')
    serving = await change.serving()
    if percent == 100 and not all(is_routed(canary, record.canaries) for canary, _ in _deployments(record.canaries)):
        raise no_weight("kubernetes", "Leave 100 % to the cut-over: a share of replicas leaves some to what serves.")
    await _grow(change, record, percent)
    services = canary_services(record.canaries)
    for route in routes_of(serving):
        if services.keys() & services_behind(route):
            await _route(change, route, services, percent)
    for ref in (Ref.of(canary) for canary in record.canaries if is_rollout(canary)):
        await argo_control.advance_to(change.applier, ref, percent)
    await change.applier.roll_out_to(_beside(record))
    await _shrunk(change, record)
    actual, how = await share_of(change.applier.cluster, record, serving)
    if actual and not percent:
        raise DeployFailed(
            f"Candidate {record.release_id} has {actual:g} % of the traffic still, {how}.",
            remedy="`phasegate rollback RUN` puts back what served.",
            reason="weights",
        )
    return Weight(release_id=record.release_id, wanted=percent, actual=actual, detail=how)


async def end(change: ChangeContext, record: Record) -> None:
    """Give the candidate's traffic back to the current release, then delete all objects but the current release's.

    Raises:
        DeployFailed: The current release is not as it was.
        TargetRefused: Another manager owns what is to be put back.
    """
    serving = await change.serving()
    if serving is None or serving.release_id != record.release_id:
        await change.keep_log(record, record.canaries)
        await _give_back(change, record, serving)
    staying = serving.refs if serving else set[Ref]()
    await change.applier.delete_and_wait({Ref.of(canary) for canary in _beside(record)} - staying)
    if record.weight:
        record.weight = 0
        await change.records.write_record(record)
    if record.release_id in change.state.candidates:
        change.state.candidates.remove(record.release_id)
        await change.records.write_state(change.state)


async def share_of(cluster: Cluster, record: Record, serving: Record | None) -> tuple[float, str]:
    """The share of the traffic that a candidate has at this moment, in percent, and how that is known."""
    services = canary_services(record.canaries)
    for route in routes_of(serving) if services else ():
        live = await cluster.get(Ref.of(route))
        if live is not None and (percentages := shares(live, services)):
            refusal = route_accepted(live)
            return max(percentages), f"by the weights of {Ref.of(route)}{f'; {refusal}' if refusal else ''}"
    for ref in (Ref.of(canary) for canary in record.canaries if is_rollout(canary)):
        live = await cluster.get(ref)
        if live is not None and stamp_of(live)[1] == record.release_id:
            return await argo_control.share(cluster, live)
    own = stable = 0
    for canary, ref in _deployments(record.canaries):
        own += _ready(await cluster.get(Ref.of(canary)))
        stable += _ready(await cluster.get(ref))
    total = own + stable
    return (100 * own / total if total else 0.0), f"{own} of {total} ready replicas" if total else ""


async def _grow(change: ChangeContext, record: Record, percent: int) -> None:
    """Record a share, and bring up the replicas it needs, before any traffic comes; what is too many stays for now.

    Raises:
        DeployFailed: They do not come up.
        TargetRefused: Something is missing that a person has to give; it has as many again as before.
    """
    former, weight = record.canaries, record.weight
    record.canaries, record.weight = await _rescaled(change, former, percent), percent
    await change.records.write_record(record)
    live = {
        ref: await change.applier.cluster.get(ref) for ref in (Ref.of(canary) for canary, _ in _deployments(former))
    }
    counts = {ref: replicas(deployment) if deployment else 0 for ref, deployment in live.items()}
    grown = [
        rescaled(canary, max(replicas(canary), counts[Ref.of(canary)])) for canary, _ in _deployments(record.canaries)
    ]
    try:
        await change.applier.roll_out_to(grown)
    except TargetRefused:
        record.canaries, record.weight = former, weight
        await change.applier.apply(canary for canary, _ in _deployments(former))
        await change.records.write_record(record)
        raise


async def _shrunk(change: ChangeContext, record: Record) -> None:
    """Wait until replicas that are too many are gone: a rollout is over before, and they have traffic until then."""
    until = time.monotonic() + change.applier.timeout.total_seconds()
    for ref in [Ref.of(canary) for canary, _ in _deployments(record.canaries)]:
        while (live := await change.applier.cluster.get(ref)) is not None:
            present = int(table(live.get("status")).get("replicas") or 0)
            if has_been_seen(live) and present <= replicas(live):
                break
            if time.monotonic() > until:
                raise DeployFailed(f"{ref} has {present} replicas, and was to have less.", reason="progress-deadline")
            await asyncio.sleep(LOOK_SECONDS)


async def _route(change: ChangeContext, route: Manifest, services: Mapping[str, str], percent: int) -> None:
    """Set the weights of a route, and wait until gateways route by them.

    Raises:
        DeployFailed: They do not.
        TargetRefused: Another manager owns the weights.
    """
    desired, ref = weighted(route, services, percent), Ref.of(route)
    await change.applier.apply([desired])
    until = time.monotonic() + min(_RECEPTION, change.applier.timeout).total_seconds()
    while True:
        live = await change.applier.cluster.get(ref)
        refusal = route_accepted(live) if live else "somebody has deleted it"
        if live and not refusal and shares(live, services) == shares(desired, services):
            return
        if time.monotonic() > until:
            raise DeployFailed(
                f"{ref} says that {percent} % go to {', '.join(services.values())}, and no traffic follows: {refusal}.",
                remedy=f"See with `kubectl describe httproute {ref.name}` what its gateway says.",
                reason="weights",
            )
        await asyncio.sleep(LOOK_SECONDS)


async def _give_back(change: ChangeContext, record: Record, serving: Record | None) -> None:
    """Route all traffic to the current release.

    Raises:
        DeployFailed: It does not go there.
        TargetRefused: Another manager owns what is to be put back, and it leads to the candidate.
    """
    services = canary_services(record.canaries)
    for route in routes_of(serving) if services else ():
        live = await change.applier.cluster.get(Ref.of(route))
        if live is not None and services_behind(live) & {*services.values()}:
            if has_gateway(live):
                await _route(change, route, services, 0)
            else:  # no gateway routes by it, so there is none to wait for
                await change.applier.apply([route])
    former = {Ref.of(manifest): manifest for manifest in (serving.manifests if serving else record.before)}
    rollouts = [
        former[ref] for ref in (Ref.of(canary) for canary in record.canaries if is_rollout(canary)) if ref in former
    ]
    for ref in map(Ref.of, rollouts):
        live = await change.applier.cluster.get(ref)
        if live is not None and stamp_of(live)[1] == record.release_id:
            await argo_control.abort(change.applier, ref)
    await change.applier.apply(rollouts)
    await change.applier.roll_out(rollouts, back=True)
    if differences := await deviations(change.applier.cluster, rollouts):
        raise DeployFailed(
            f"The traffic of candidate {record.release_id} is not back with what serves: {'; '.join(differences)}.",
            remedy="See who changes it: `kubectl get … -o yaml --show-managed-fields` names them.",
            reason="drift",
        )


async def _rescaled(change: ChangeContext, canaries: Sequence[Manifest], percent: int) -> list[Manifest]:
    """The canaries with the replicas for a share, by how many run beside them now."""
    rescaled_by_ref: dict[Ref, Manifest] = {}
    for canary, ref in _deployments(canaries):
        live = await change.applier.cluster.get(ref)
        count = carrying_replicas if is_routed(canary, canaries) else canary_replicas
        rescaled_by_ref[Ref.of(canary)] = rescaled(canary, count(replicas(live) if live else 0, percent))
    return [rescaled_by_ref.get(Ref.of(canary), canary) for canary in canaries]


def _deployments(canaries: Iterable[Manifest]) -> list[tuple[Manifest, Ref]]:
    """Each canary that is a Deployment of its own, and the one it runs beside."""
    return [
        (canary, ref)
        for canary in canaries
        if canary["kind"] == "Deployment" and (ref := stable_of(canary)) is not None
    ]


def _beside(record: Record) -> list[Manifest]:
    """Objects that are a candidate's only; a Rollout is the current release's, too."""
    return [canary for canary in record.canaries if not is_rollout(canary)]


def _ready(deployment: Manifest | None) -> int:
    return int(table(deployment.get("status")).get("readyReplicas") or 0) if deployment else 0


async def _require_free_names(change: ChangeContext, record: Record) -> None:
    """Stop if an object of another owner has a canary's name: it would be changed, and deleted afterwards."""
    for ref in (Ref.of(canary) for canary in record.canaries if stable_of(canary) is not None):
        live = await change.applier.cluster.get(ref)
        if live is not None and stamp_of(live)[0] != change.applier.service:
            raise TargetRefused(
                f"{ref} is somebody else's, and the canary would have its name.",
                remedy='Rename it, or set `[deploy] strategy = "rolling"`.',
                reason="conflict",
            )
