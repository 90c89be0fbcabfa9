"""Keeps two engines from changing one service at once: a Lease of the cluster's, renewed while it is needed.

Used by the target around everything that changes something. Who dies leaves a lease that runs out; who loses it while
it works is told at the next step.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from phasegate.infra.deploy.kubernetes.api.client import Cluster
from phasegate.infra.deploy.kubernetes.api.errors import StaleWrite
from phasegate.infra.deploy.kubernetes.api.manifests import Manifest, Ref, table
from phasegate.infra.errors import PhasegateError, TargetUnavailable

DURATION = timedelta(seconds=15)
_RENEWALS = 3
_LOOK_SECONDS = 0.5
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class HeldLock:
    """A lease that is held; asked before each step."""

    def __init__(self, cluster: Cluster, name: str, duration: timedelta) -> None:
        """Name the lease; it is taken by `take`."""
        self._cluster, self._ref = cluster, Ref("coordination.k8s.io/v1", "Lease", name)
        self._duration, self._holder = duration, uuid4().hex
        self._renewed = float("-inf")

    async def take(self) -> None:
        """Wait until no other engine holds it, and take it."""
        last_mark, since = "", time.monotonic()
        while True:
            lease = await self._cluster.get(self._ref)
            spec = table(table(lease).get("spec"))
            mark = f"{spec.get('holderIdentity')} {spec.get('renewTime')}"
            if mark != last_mark:  # its holder is alive; measured by our clock, as clocks differ
                last_mark, since = mark, time.monotonic()
            seconds = float(spec.get("leaseDurationSeconds") or 0)
            free = spec.get("holderIdentity") in {None, "", self._holder}  # ours: it was taken, the answer was lost
            if free or time.monotonic() - since > seconds:
                with contextlib.suppress(StaleWrite):
                    await self._write(lease, self._holder, int(spec.get("leaseTransitions") or 0) + 1)
                    return
            await asyncio.sleep(_LOOK_SECONDS)

    async def renew(self) -> None:
        """Hold it for longer.

        Raises:
            TargetUnavailable: Another engine has taken it.
        """
        lease = await self._cluster.get(self._ref)
        spec = table(table(lease).get("spec"))
        if spec.get("holderIdentity") != self._holder:
            self._renewed = float("-inf")
            raise _lost(self._ref)
        await self._write(lease, self._holder, int(spec.get("leaseTransitions") or 0))

    async def require(self) -> None:
        """Stop unless it is held for certain: it was renewed lately, or can be renewed now.

        Raises:
            TargetUnavailable: Another engine has taken it.
        """
        if time.monotonic() - self._renewed > self._duration.total_seconds() / 2:
            await self.renew()

    async def release(self) -> None:
        """Release it, so that others can take it at once."""
        with contextlib.suppress(PhasegateError):  # it runs out by itself
            lease = await self._cluster.get(self._ref)
            if lease and lease["spec"].get("holderIdentity") == self._holder:
                await self._write(lease, "", int(lease["spec"].get("leaseTransitions") or 0))

    async def keep(self) -> None:
        """Renew it until cancelled."""
        while True:
            await asyncio.sleep(self._duration.total_seconds() / _RENEWALS)
            with contextlib.suppress(StaleWrite):
                await self.renew()

    async def _write(self, lease: Manifest | None, holder: str, transitions: int) -> None:
        now = datetime.now(UTC).strftime(_TIME)
        metadata = {"name": self._ref.name}
        if lease:
            metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(self._duration.total_seconds())),
            "renewTime": now,
            "leaseTransitions": transitions,
        }
        sent_at = time.monotonic()
        manifest = {"apiVersion": self._ref.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}
        await self._cluster.write(manifest)
        self._renewed = sent_at


@asynccontextmanager
async def lock(cluster: Cluster, name: str, duration: timedelta = DURATION) -> AsyncGenerator[HeldLock]:
    """Hold the lock on a service; waits until its holder releases it, or until a dead holder's lease runs out."""
    held = HeldLock(cluster, name, duration)
    await held.take()
    keeping = asyncio.create_task(held.keep())
    try:
        yield held
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError, PhasegateError):
            await keeping  # what made it end is found by `require`, at the step it would have mattered for
        await held.release()


def _lost(ref: Ref) -> TargetUnavailable:
    return TargetUnavailable(
        f"Another engine has taken {ref} meanwhile, since this one did not get through for too long.",
        remedy="See what it does with `phasegate status` there; `phasegate resume` goes on here afterwards.",
        reason="lost-lease",
    )
