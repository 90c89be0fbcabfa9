"""Keeps what runs in step with what the ledger says should run (P1, P7). The engine's one background service.

Every second, and at every wake: an accepted run gets its flow run, a run that should be going and is in nobody's hands
is set going again. It decides nothing about a run but whether to give up.
"""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

import httpx

from phasegate.flows.engine.engine import Engine
from phasegate.flows.resources import Resources, open_resources
from phasegate.infra.clock import SystemClock
from phasegate.infra.errors import NotFound
from phasegate.infra.ledger import Run

_PERIOD_SECONDS = 1.0
_RECOVERIES = 10
"""Automatic recoveries without a finished attempt in between, before a person is asked."""
_ASKED_BY_A_PERSON = frozenset({"gate.decided", "run.resumed", "run.cancel-requested", "run.rollback-requested"})

_log = logging.getLogger(__name__)


async def serve(engine: Engine) -> None:
    """Open what the engine's runs share, and look after the runs until cancelled."""
    async with open_resources(engine.settings) as shared:
        shared.ledger.attempts.break_leases_of_others(shared.holder)
        while True:
            for run in shared.ledger.runs.list(statuses=("accepted", "running", "waiting")):
                try:
                    await _look_after(engine, shared, run)
                except (httpx.HTTPError, NotFound) as error:
                    _log.warning("run %s is looked after again in a moment: %r", run.id, error)
            await engine.next_wake(_PERIOD_SECONDS)


async def _look_after(engine: Engine, shared: Resources, run: Run) -> None:
    if run.flow_run_id is None:
        flow_run_id = await engine.create_flow_run(run.id, idempotency_key=run.id, name=run.id)
        shared.ledger.runs.dispatched(run.id, str(flow_run_id))
        return
    flow_run_id = UUID(run.flow_run_id)
    if engine.worker.is_running(flow_run_id) or (run.status == "waiting" and not _has_expired_gate(shared, run)):
        return
    if run.status == "running" and not _was_asked_for(shared, run):
        if run.recoveries >= _RECOVERIES:
            _give_up(shared, run)
            return
        shared.ledger.runs.recovered(run.id)
    await engine.reschedule(flow_run_id)
    await asyncio.sleep(0)


def _was_asked_for(shared: Resources, run: Run) -> bool:
    """Whether the last thing that happened to the run was a person's doing, rather than a crash."""
    return shared.ledger.events(run.id)[-1].kind in _ASKED_BY_A_PERSON


def _has_expired_gate(shared: Resources, run: Run) -> bool:
    return any(gate.expires_at <= SystemClock().now() for gate in shared.ledger.gates.waiting(run.id))


def _give_up(shared: Resources, run: Run) -> None:
    reason: dict[str, object] = {
        "code": "recoveries",
        "message": f"the run was recovered {run.recoveries} times without finishing a stage",
        "remedy": f"See the engine's log, then `phasegate resume {run.id}`.",
        "context": {},
    }
    shared.ledger.runs.set_status(run.id, "needs-operator", reason=reason)
