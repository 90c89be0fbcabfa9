"""Restart of a release whose baseline is gone: the run goes back and plans the release again.

Called by the steps. The engine itself asks for a rewind to the moment before the candidate, which discards the analyses
and approvals made since. Gate `release` then asks again, for the release that is current now.
"""

from __future__ import annotations

from typing import NoReturn

from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.signals import Rewound
from phasegate.flows.runs.checkpoints import checkpoints, plan_rewind
from phasegate.infra.errors import DeployFailed, NotAllowed, TargetRefused
from phasegate.infra.ledger.events import EventKind

_UNASKED = 3
"""Limit on restarts of a release if policy has gate `release` off, so that no person is asked in between."""


async def void_release(run: RunContext, candidate: str, why: str) -> NoReturn:
    """Request a rewind of the run to the checkpoint before its candidate.

    Args:
        run: The run.
        candidate: The attempt that started the candidate.
        why: The change, as a sentence.

    Raises:
        Rewound: The request is recorded, and the next pass carries it out.
        TargetRefused: The run cannot go back there, for example after a migration.
        DeployFailed: The baseline changes again and again, and policy has gate `release` off.

    Effects:
        One event that asks for the rewind.
    """
    run.raise_if_interrupted()
    run.report_step("deployment", why)
    await run.background.cancel()
    ledger, run_id = run.ledger, run.id
    if run.policy.gates.release.off and ledger.rewinds.count(run_id) >= _UNASKED:
        raise DeployFailed(why, remedy="See who changes what serves, then `phasegate replay RUN --from deployment`.")
    started = ledger.events(run_id, kinds=(EventKind.ATTEMPT_STARTED,))
    began = next(event.position for event in started if event.payload["attempt"] == candidate)
    before = [
        checkpoint
        for checkpoint in checkpoints(ledger, run.record)
        if checkpoint.position < began and not checkpoint.discarded
    ]
    try:
        plan_rewind(ledger, run.record, before[-1].id)
    except NotAllowed as error:
        raise TargetRefused(f"{why} And there is no way back: {error.message}", remedy=error.remedy) from error
    ledger.rewinds.void(run_id, before[-1].id, why)
    raise Rewound
