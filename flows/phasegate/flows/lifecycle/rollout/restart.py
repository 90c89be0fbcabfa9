"""Taking a candidate back because what it was measured beside is not there any more, to plan the release anew.

Called by the steps. It is a rewind that the engine asks for: to the moment before the candidate, with all that was
measured and approved since. Gate `release` then asks again, for what serves now.
"""

from __future__ import annotations

from typing import NoReturn

from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.signals import Rewound
from phasegate.flows.runs.checkpoints import checkpoints, plan_rewind
from phasegate.infra.errors import DeployFailed, NotAllowed, TargetRefused
from phasegate.infra.ledger.events import EventKind

_UNASKED = 3
"""How often a release is begun anew where policy has gate `release` off, so that nobody is asked in between."""


async def void_release(run: RunContext, candidate: str, why: str) -> NoReturn:
    """Have the run go back to before its candidate.

    Args:
        run: The run.
        candidate: The attempt that started the candidate.
        why: What has changed.

    Raises:
        Rewound: The engine does it next.
        TargetRefused: There is no way back to there, as after a migration.
        DeployFailed: It changes again and again, and nobody is asked in between.

    Effects:
        One event that asks for the rewind.
    """
    run.raise_if_interrupted()
    run.report_step("deployment", why)
    await run.cancel_background()
    ledger, run_id = run.shared.ledger, run.run.id
    if run.policy.gates.release.off and ledger.rewinds.count(run_id) >= _UNASKED:
        raise DeployFailed(why, remedy="See who changes what serves, then `phasegate replay RUN --from deployment`.")
    started = ledger.events(run_id, kinds=(EventKind.ATTEMPT_STARTED,))
    began = next(event.position for event in started if event.payload["attempt"] == candidate)
    before = [one for one in checkpoints(ledger, run.run) if one.position < began and not one.discarded]
    try:
        plan_rewind(ledger, run.run, before[-1].id)
    except NotAllowed as error:
        raise TargetRefused(f"{why} And there is no way back: {error.message}", remedy=error.remedy) from error
    ledger.rewinds.void(run_id, before[-1].id, why)
    raise Rewound
