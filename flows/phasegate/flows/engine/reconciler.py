"""Keeps what runs in step with what the ledger says should run (P1, P7). The engine's one background service.

Every second, and at every wake: a run that should be going and is in nobody's hands is taken, and set going. It is in
somebody's hands while an engine's lease on it holds, so of several engines on one ledger one carries it. What Prefect
lost, or never knew, is made anew from the ledger. It decides nothing about a run but whether to give up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import datetime, timedelta
from uuid import UUID

import httpx

from phasegate.flows.engine.engine import Engine
from phasegate.flows.engine.resources import Resources, open_resources
from phasegate.infra.clock import SystemClock
from phasegate.infra.errors import LeaseHeld, LedgerUnavailable, NotFound
from phasegate.infra.ledger import LET_GO, Lease, Ledger, Run

_PERIOD_SECONDS = 1.0
_PERIOD_SECONDS_WITH_A_BACKLOG = 0.1
_QUEUED_PER_PLACE = 2
"""How many runs are set going for each that may work: what Prefect has queued it reads again at each poll."""
_UNHEARD_SECONDS = 3.0
"""How long a run that was set going may stay untaken before Prefect is asked about it."""
_RENEWALS_PER_LEASE = 4
_RECOVERIES = 10
"""Automatic recoveries without a finished attempt in between, before a person is asked."""

_log = logging.getLogger(__name__)


async def serve(engine: Engine) -> None:
    """Open what the engine's runs share, and look after the runs until cancelled, which is after they were drained."""
    async with open_resources(engine.settings) as shared:
        renewing = asyncio.create_task(_renew(shared, engine.settings.lease))
        try:
            shared.ledger.leases.end_those_before(shared.holder)
            engine.looked_after = True
            asked: dict[str, float] = {}
            while not engine.draining:
                all_seen = await _look_around(engine, shared, asked)
                await engine.next_wake(_PERIOD_SECONDS if all_seen else _PERIOD_SECONDS_WITH_A_BACKLOG)
            await asyncio.Future[None]()
        finally:
            renewing.cancel()
            _let_go(shared)


async def _look_around(engine: Engine, shared: Resources, asked: dict[str, float] | None = None) -> bool:
    """Look after every run that may want it; false when some were left for when there is a place for them.

    Args:
        engine: Has the places.
        shared: Has the ledger.
        asked: When Prefect was last asked to run what is queued, on the monotonic clock; kept by the caller.
    """
    hands, asked = shared.hands, {} if asked is None else asked
    try:
        wanting = shared.ledger.leases.wanting()
        hands.queued.intersection_update({run.id for run in wanting})
        for run_id in asked.keys() - hands.queued:
            del asked[run_id]
        for run in wanting:
            if engine.draining:
                return True
            if run.id not in hands.queued | hands.carried and _is_enough(shared):
                return False
            if run.id in hands.queued and time.monotonic() - asked.get(run.id, 0) < _UNHEARD_SECONDS:
                continue
            try:
                await _look_after(engine, shared, run)
                asked[run.id] = time.monotonic()
            except LeaseHeld as error:
                hands.queued.discard(run.id)
                _log.debug("%s", error)
            except (httpx.HTTPError, NotFound) as error:
                _log.warning("run %s is looked after again in a moment: %r", run.id, error)
    except LedgerUnavailable as error:
        _log.warning("%s", error)
    return True


def _is_enough(shared: Resources) -> bool:
    """Whether as many runs are set going as will be taken up in the next moment."""
    return len(shared.hands.queued) >= _QUEUED_PER_PLACE * shared.settings.concurrency


async def _look_after(engine: Engine, shared: Resources, run: Run) -> None:
    if run.id in shared.hands.carried or _sleeps(run) or (run.status == "waiting" and not _can_go_on(shared, run)):
        return
    lease = shared.ledger.leases.find(run.id)
    if run.id not in shared.hands.queued or lease is None or lease.holder != shared.holder:
        interrupted = _was_interrupted(lease)
        lease = shared.ledger.leases.take(run.id, shared.holder)
        if interrupted and not _recover(shared.ledger.fenced(lease), run):
            shared.ledger.leases.let_go(lease)
            return
        shared.hands.queued.add(run.id)
    await _set_going(engine, shared.ledger.fenced(lease), run, lease)
    await asyncio.sleep(0)


async def _set_going(engine: Engine, ledger: Ledger, run: Run, lease: Lease) -> None:
    """Have this engine's Prefect run the run; a flow run that it does not know is made from the ledger."""
    if run.flow_run_id is not None:
        flow_run_id = UUID(run.flow_run_id)
        if engine.worker.is_running(flow_run_id):
            return
        try:
            await engine.reschedule(flow_run_id)
        except NotFound:
            _log.info("Prefect does not know flow run %s of %s: it gets another.", flow_run_id, run.id)
        else:
            return
    key = f"{run.id}/{lease.token}"
    ledger.runs.dispatched(run.id, str(await engine.create_flow_run(run.id, idempotency_key=key, name=run.id)))


def _sleeps(run: Run) -> bool:
    """Whether a run rests until a moment that has not come."""
    until = str((run.reason or {}).get("until", ""))
    return bool(until) and not run.request and SystemClock().now() < datetime.fromisoformat(until)


def _can_go_on(shared: Resources, run: Run) -> bool:
    """Whether a run that was left waiting has something to do.

    A person asked something of it, no gate or question it waits for is open, or a gate has expired.
    """
    if run.request or run.reason is not None:  # it is measured on beside its gate, and `_sleeps` has looked
        return True
    if shared.ledger.questions.open(run.id):
        return False
    gates = shared.ledger.gates.waiting(run.id)
    return not gates or any(gate.expires_at <= SystemClock().now() for gate in gates)


def _was_interrupted(lease: Lease | None) -> bool:
    """Whether whoever had the run in hand did not let it go."""
    return lease is not None and lease.expires_at != LET_GO


def _recover(ledger: Ledger, run: Run) -> bool:
    """Count the interruption; false when there were too many, and a person is asked instead."""
    if run.recoveries < _RECOVERIES:
        ledger.runs.recovered(run.id)
        return True
    reason: dict[str, object] = {
        "code": "recoveries",
        "message": f"the run was recovered {run.recoveries} times without finishing a stage",
        "remedy": f"See the engine's log, then `phasegate resume {run.id}`.",
        "context": {},
    }
    ledger.runs.set_status(run.id, "needs-operator", reason=reason)
    return False


async def _renew(shared: Resources, lease: timedelta) -> None:
    """Keep the leases on the runs in this engine's hands; where one is lost, the run's next write is refused."""
    while True:
        await asyncio.sleep(lease.total_seconds() / _RENEWALS_PER_LEASE)
        if in_hand := shared.hands.carried | shared.hands.queued:
            try:
                shared.ledger.leases.renew(shared.holder, in_hand)
            except LedgerUnavailable as error:
                _log.warning("%s", error)


def _let_go(shared: Resources) -> None:
    """Say that the engine stopped on purpose: going on from here is no recovery."""
    try:
        shared.ledger.leases.let_go_of_all(shared.holder)
    except LedgerUnavailable as error:
        _log.warning("the leases run out by themselves: %s", error)
