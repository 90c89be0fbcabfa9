"""Serving behind a proxy: releases on ports of their own, and HAProxy on the service's. See decision 18.

Used by the `process` target with `strategy = "canary"`. A candidate that is cut over to keeps its process; the release
before it finishes what it has begun, and is stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

from phasegate.infra.deploy.health import wait_until_healthy
from phasegate.infra.deploy.process.proxy.proxy import ProxyServer
from phasegate.infra.deploy.process.releases import Releases
from phasegate.infra.deploy.process.supervisor.client import why_dead
from phasegate.infra.deploy.service_folder import Running, ServiceState
from phasegate.infra.deploy.target import NOTHING_SERVES, Check, Weight
from phasegate.infra.errors import DeployFailed, TargetUnavailable
from phasegate.infra.system import ports
from phasegate.infra.system.processes import find_by_mark

_PATIENCE = timedelta(seconds=10)
_READ_BACK = "as HAProxy has it in force"


class ProxiedServing:
    """Service whose releases stand behind a proxy; satisfies `Serving`."""

    def __init__(self, releases: Releases, front: ProxyServer) -> None:
        """Name the service and its proxy."""
        self._releases = releases
        self._front = front

    def check_prerequisites(self) -> None:
        """As `Serving.check_prerequisites`: HAProxy."""
        self._front.check_prerequisites()

    async def start_candidate(self, state: ServiceState, release_id: str) -> Running:
        """As `Serving.start_candidate`; on a port it may keep."""
        return await self._releases.start(state, release_id, "release", ports.stable_port())

    async def set_weight(self, state: ServiceState, release_id: str, percent: int) -> Weight:
        """As `Serving.set_weight`: the weights of HAProxy's round robin."""
        candidate = state.candidates.get(release_id)
        if candidate is None:
            raise DeployFailed(f"{state.service} has no candidate {release_id}.", release_id=release_id)
        if state.current is None or state.serving is None:
            return Weight(release_id=release_id, wanted=percent, actual=0, detail=NOTHING_SERVES)
        if why := why_dead(self._releases.folder.path, candidate):
            raise self._cannot(release_id, percent, f"it {why}")
        others = sum(
            state.weights.get(candidate_id, 0) for candidate_id in state.candidates if candidate_id != release_id
        )
        if percent + others > 100:
            raise self._cannot(release_id, percent, f"other candidates have {others} %")
        if percent or release_id in state.weights:
            await self._shift(
                state, {**state.weights, release_id: percent, state.current: 100 - percent - others}, state.port or 0
            )
            actual = self._front.shares().get(release_id, 0.0)
        else:
            actual = 0.0
        return Weight(release_id=release_id, wanted=percent, actual=actual, detail=_READ_BACK)

    async def serves(self, state: ServiceState, release_id: str) -> bool:
        """As `Serving.serves`."""
        serving = state.serving
        if state.current != release_id or serving is None or serving.release_id != release_id:
            return False
        if not self._front.stands(state, state.port or 0) or set(self._front.shares()) != {release_id}:
            return False
        return (await self._releases.health(state.release(release_id), serving)).ok

    async def replace(self, state: ServiceState, release_id: str, port: int) -> None:
        """As `Serving.replace`."""
        former, record = state.current, state.release(release_id)
        await self._let_serve(state, release_id, port, record.previous if former == release_id else former)

    async def restore(self, state: ServiceState, release_id: str, port: int) -> None:
        """As `Serving.restore`."""
        await self._let_serve(state, release_id, port, state.release(release_id).previous)

    async def stop_candidate(self, state: ServiceState, release_id: str) -> None:
        """As `Serving.stop_candidate`; what it has begun it may finish."""
        await self._settle(state)
        if state.current == release_id:  # it is none any more
            return
        if release_id in state.weights:
            await self._give_back(state, release_id)
        await self._releases.end_candidate(state, release_id)
        await self._front.forget(release_id)

    async def _give_back(self, state: ServiceState, release_id: str) -> None:
        """Give a candidate's share to the current release."""
        if state.serving is None or state.current is None:
            await self._front.end(state)
            return
        others = {name: weight for name, weight in state.weights.items() if name not in {release_id, state.current}}
        with suppress(TargetUnavailable):  # then no release gets traffic, and it is in the configuration all the same
            await self._front.shift(state, {**others, state.current: 100 - sum(others.values())})
        await self._front.drained(release_id)

    async def _let_serve(self, state: ServiceState, release_id: str, port: int, previous: str | None) -> None:
        """Give a release all traffic; if it does not answer through the proxy, the one before gets it back."""
        self._require_port(port)
        running = await self._running(state, release_id)
        former, before = state.current, dict(state.weights)
        await self._shift(state, {release_id: 100}, port)
        check = await self._through_proxy(state, release_id, running)
        if not check.ok:
            failure = DeployFailed(
                f"Release {release_id} of {state.service} did not come up behind the proxy: {check.detail}.",
                remedy=f"Look at {self._releases.folder.release(release_id) / 'log'}.",
                release_id=release_id,
            )
            if former is not None and former != release_id and state.serving is not None:
                await self._front.shift(state, before or {former: 100})
                failure.context["restored"] = former
            raise failure
        record = state.release(release_id)
        record.port, record.previous = port, previous
        old, state.serving, state.current = state.serving, running, release_id
        state.candidates.pop(release_id, None)
        if old is not None and old.release_id != release_id:
            state.leaving[old.release_id] = old
        self._releases.record_check(state, release_id, check)
        await self._settle(state)

    async def _running(self, state: ServiceState, release_id: str) -> Running:
        """The release's process behind the proxy, healthy; one that is not there is started."""
        running, record = state.process_of(release_id), state.release(release_id)
        if running is not None and running.port != state.port and (await self._releases.health(record, running)).ok:
            if state.leaving.pop(release_id, None):  # it is called back while it leaves
                state.candidates[release_id] = running
                self._releases.folder.write(state)
            return running
        await self._releases.sources.ensure(release_id, record.commit)
        state.leaving.pop(release_id, None)
        state.candidates.pop(release_id, None)
        await self._releases.end("release", release_id, None if _is_in_place(state, running) else running)
        return await self.start_candidate(state, release_id)

    async def _shift(self, state: ServiceState, weights: Mapping[str, int], port: int) -> None:
        """Stand the proxy up where it does not, and let it share; on failure it shares as before."""
        before = dict(state.weights)
        if not self._front.stands(state, port):
            await self._bring_behind(state)
            if not state.weights:
                serving = state.current if state.serving else None
                before = state.weights = {serving: 100} if serving else dict(weights)
            await self._front.stand(state, port)
        try:
            await self._front.shift(state, weights)
        except DeployFailed:
            if before != weights:
                with suppress(DeployFailed):  # the first failure says what is wrong
                    await self._front.shift(state, before)
            raise

    async def _bring_behind(self, state: ServiceState) -> None:
        """Move a release that has the service's port itself behind the proxy: once, when the strategy changes."""
        if _is_in_place(state, state.serving) and state.current is not None:
            running, record = state.candidates.get(state.current), state.release(state.current)
            if running is None or not (await self._releases.health(record, running)).ok:
                await self._releases.end_candidate(state, state.current)
                running = await self.start_candidate(state, state.current)
            await self._releases.end("service", None, state.serving)
            state.candidates.pop(state.current, None)
            state.serving = running
            self._releases.folder.write(state)

    async def _through_proxy(self, state: ServiceState, release_id: str, running: Running) -> Check:
        url = f"http://{state.host}:{state.port}{state.release(release_id).deploy.health}"
        check = await wait_until_healthy(url, _PATIENCE, lambda: why_dead(self._releases.folder.path, running))
        return check.model_copy(update={"name": "service"})

    async def _settle(self, state: ServiceState) -> None:
        """Stop what has been replaced, once it has finished what it had; what a crash left of this, too."""
        for release_id, running in list(state.leaving.items()):
            await self._front.drained(release_id)
            await self._releases.end("release", release_id, running)
            state.leaving.pop(release_id)
            self._releases.folder.write(state)
            await self._front.forget(release_id)

    def _require_port(self, port: int) -> None:
        folder = self._releases.folder
        ports.require_free(
            port, but_for={process.pid for role in ("service", "front") for process in find_by_mark(folder.mark(role))}
        )

    def _cannot(self, release_id: str, percent: int, why: str) -> DeployFailed:
        return DeployFailed(
            f"Release {release_id} cannot take {percent} % of the traffic: {why}.",
            remedy=f"Look at {self._releases.folder.release(release_id) / 'log'}.",
            release_id=release_id,
        )


def _is_in_place(state: ServiceState, running: Running | None) -> bool:
    """True if a process listens on the service's port itself, as before there was a proxy."""
    return running is not None and state.front is None and running.port == state.port
