"""Reconciler: keeps the executing runs in step with the ledger (P1, P7).

Every second, and at every wake, it takes the lease of each runnable run that no engine owns, and schedules it. Leases
guarantee one engine per run. A flow run that Prefect lost, or never knew, is created again from the ledger. It decides
nothing about a run but when to give up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from uuid import UUID

import httpx

from phasegate.flows.engine.engine import Engine
from phasegate.flows.engine.resources import Resources, open_resources
from phasegate.infra.clock import SystemClock
from phasegate.infra.errors import LeaseHeld, LedgerUnavailable, NotFound
from phasegate.infra.ledger import Lease, Ledger, Run

_PERIOD_SECONDS = 1.0
_PERIOD_SECONDS_WITH_A_BACKLOG = 0.1
_QUEUED_PER_PLACE = 2
"""Number of runs scheduled for each that may work: what Prefect has queued it reads again at each poll."""
_UNHEARD_SECONDS = 3.0
"""Time that a scheduled run may stay untaken before Prefect is asked about it."""
_RENEWALS_PER_LEASE = 4
_RECOVERIES = 10
"""Automatic recoveries without a finished attempt in between, before a person is asked."""

_log = logging.getLogger(__name__)


async def serve(engine: Engine) -> None:
    """Open the resources that the engine's runs share, and reconcile until cancelled, after the runs were drained."""
    async with open_resources(engine.settings) as shared:
        renewing = asyncio.create_task(_renew(shared, engine.settings.lease))
        try:
            shared.ledger.leases.expire_previous(shared.holder)
            engine.is_reconciled = True
            requested: dict[str, float] = {}
            while not engine.draining:
                all_seen = await _reconcile_once(engine, shared, requested)
                await engine.next_wake(_PERIOD_SECONDS if all_seen else _PERIOD_SECONDS_WITH_A_BACKLOG)
            await asyncio.Future[None]()
        finally:
            renewing.cancel()
            _let_go(shared)


async def _reconcile_once(engine: Engine, shared: Resources, requested: dict[str, float] | None = None) -> bool:
    """Reconcile every runnable run.

    Args:
        engine: The engine with the places.
        shared: The resources with the ledger.
        requested: The monotonic time of the last request to Prefect for each queued run; kept by the caller.

    Returns:
        False if some runs were left until there is a place for them.
    """
    active, requested = shared.active_runs, {} if requested is None else requested
    try:
        if engine.worker.has_place and any(
            _is_overdue(requested, run_id) for run_id in active.scheduled & set(requested)
        ):
            await engine.repair_prefect()
        runnable = shared.ledger.leases.runnable()
        active.scheduled.intersection_update({run.id for run in runnable})
        for run_id in requested.keys() - active.scheduled:
            del requested[run_id]
        for run in runnable:
            if engine.draining:
                return True
            if run.id not in active.scheduled | active.running and _queue_is_full(shared):
                return False
            if run.id in active.scheduled and not _is_overdue(requested, run.id):
                continue
            try:
                await _reconcile_run(engine, shared, run)
                requested[run.id] = time.monotonic()
            except LeaseHeld as error:
                active.scheduled.discard(run.id)
                _log.debug("%s", error)
            except (httpx.HTTPError, NotFound) as error:
                _log.warning("run %s is looked after again in a moment: %r", run.id, error)
    except LedgerUnavailable as error:
        _log.warning("%s", error)
    return True


def _is_overdue(requested: dict[str, float], run_id: str) -> bool:
    """True if Prefect was asked for a run a while ago, or never; `requested` is as in `_reconcile_once`."""
    return time.monotonic() - requested.get(run_id, 0) >= _UNHEARD_SECONDS


def _queue_is_full(shared: Resources) -> bool:
    """True if as many runs are scheduled as will be taken up soon."""
    return len(shared.active_runs.scheduled) >= _QUEUED_PER_PLACE * shared.settings.concurrency


async def _reconcile_run(engine: Engine, shared: Resources, run: Run) -> None:
    if run.id in shared.active_runs.running or (run.status == "waiting" and not _can_go_on(shared, run)):
        return
    lease = shared.ledger.leases.find(run.id)
    if run.id not in shared.active_runs.scheduled or lease is None or lease.holder != shared.holder:
        interrupted = _was_interrupted(lease)
        lease = shared.ledger.leases.take(run.id, shared.holder)
        if interrupted and not _count_interruption(shared.ledger.fenced(lease), run):
            shared.ledger.leases.release(lease)
            return
        shared.active_runs.scheduled.add(run.id)
    await _schedule(engine, shared.ledger.fenced(lease), run, lease)
    await asyncio.sleep(0)


async def _schedule(engine: Engine, ledger: Ledger, run: Run, lease: Lease) -> None:
    """Schedule a run in this engine's Prefect; create a flow run if Prefect does not know the recorded one."""
    if run.flow_run_id is not None:
        flow_run_id = UUID(run.flow_run_id)
        if engine.worker.is_running(flow_run_id):
            return
        try:
            await engine.reschedule(flow_run_id, run.id)
        except NotFound:
            _log.info("Prefect does not know flow run %s of %s: it gets another.", flow_run_id, run.id)
        else:
            return
    key = f"{run.id}/{lease.token}"
    ledger.runs.dispatched(run.id, str(await engine.create_flow_run(run.id, idempotency_key=key, name=run.id)))


def _can_go_on(shared: Resources, run: Run) -> bool:
    """True if a waiting run has something to do.

    That is so if a person made a request, or if the time has come at which it was to be executed. It is so, too, if no
    gate or question of it is open, or if a gate has expired.
    """
    if run.request or run.wake_at is not None:
        return True
    if shared.ledger.questions.open(run.id):
        return False
    gates = shared.ledger.gates.waiting(run.id)
    return not gates or any(gate.expires_at <= SystemClock().now() for gate in gates)


def _was_interrupted(lease: Lease | None) -> bool:
    """True if the lease's holder did not release it."""
    return lease is not None and lease.released_at is None


def _count_interruption(ledger: Ledger, run: Run) -> bool:
    """Count an interruption of the run.

    Returns:
        False after too many interruptions: the run then needs an operator.
    """
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
    """Renew the leases on the runs that this engine owns; where one is lost, the run's next write is refused."""
    while True:
        await asyncio.sleep(lease.total_seconds() / _RENEWALS_PER_LEASE)
        if owned := shared.active_runs.running | shared.active_runs.scheduled:
            try:
                shared.ledger.leases.renew(shared.holder, owned)
            except LedgerUnavailable as error:
                _log.warning("%s", error)


def _let_go(shared: Resources) -> None:
    """Release this engine's leases, so that the next start is no recovery."""
    try:
        shared.ledger.leases.release_all(shared.holder)
    except LedgerUnavailable as error:
        _log.warning("the leases run out by themselves: %s", error)
