"""Stage `monitoring`: code measures and judges; where the release did not hold, an agent explains afterwards."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from phasegate.agents import monitoring
from phasegate.agents.monitoring import Incident, IncidentDraft
from phasegate.flows.lifecycle.adoption import observe
from phasegate.flows.lifecycle.attempts import attempt
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.endings import Breached, RecordEnded
from phasegate.flows.lifecycle.saga import roll_back
from phasegate.flows.lifecycle.stages.agent import propose
from phasegate.infra.deploy.target import Release
from phasegate.infra.errors import PastPivot, PhasegateError
from phasegate.infra.ledger import Attempt
from phasegate.infra.metrics.clock import RealClock
from phasegate.infra.metrics.measure import measure
from phasegate.infra.metrics.released import Released
from phasegate.infra.metrics.report import HealthReport, Measurement
from phasegate.infra.metrics.sources import source_of
from phasegate.infra.workspace import ChangeSet

_log = logging.getLogger(__name__)
_MEASURED_LOG = 32 * 1024**2
"""Characters of a release's log that a query sees: the last ones."""


async def monitor(run: RunContext, release: Release) -> HealthReport:
    """Measure the release as policy says; the verdict is computed.

    Effects:
        One attempt per release.
    """

    async def files() -> Path:
        return await run.checkout(run.run.base_commit)

    released = Released(
        release.release_id,
        release.commit,
        release.url,
        lambda: run.service_log(release.release_id, characters=_MEASURED_LOG),
        files,
        run.shared.environment,
        run.shared.secrets,
    )

    def on_measurement(name: str, taken: Measurement) -> None:
        run.step("monitoring", f"{name}: {taken.outcome}{f' ({taken.message})' if taken.message else ''}")

    async def measured(_row: Attempt) -> HealthReport:
        if run.rehearses:  # what was measured then is adopted; there is nothing to measure now
            raise RecordEnded
        return await measure(
            run.policy.metrics, lambda metric: source_of(metric, released), RealClock(), on_measurement
        )

    number = run.next_number("monitoring", "measuring")
    return await attempt(
        run, "monitoring", number, HealthReport, measured, part="measuring", inputs={"release": release.digest}
    )


async def fall_back(run: RunContext, change: ChangeSet, release: Release, report: HealthReport) -> None:
    """Take back a release that did not hold; past a migration, stop for a person instead, and return once they said go.

    Raises:
        Breached: The release is taken back.
        PastPivot: It cannot be, and nobody has let the run go on since: it serves, and waits for a person.

    Effects:
        The compensations, and one attempt at an incident.
    """
    breached = Breached(report)
    try:
        await roll_back(run, why=f"{breached}: {breached.reasons}")
    except PastPivot as past:
        await explain(run, change, release, report)
        if _let_go_on(run, report):
            return
        past.context["report"] = report.digest
        raise
    await explain(run, change, release, report)
    raise breached


def _let_go_on(run: RunContext, report: HealthReport) -> bool:
    """Whether a person has seen that this report leaves no way back, and let the run go on."""
    stopped = False
    for event in run.shared.ledger.events(run.run.id, kinds=("run.needs-operator", "run.resumed")):
        if event.kind == "run.resumed" and stopped:
            return True
        reason: dict[str, Any] = event.payload.get("reason") or {}
        stopped = bool(reason.get("context", {}).get("report") == report.digest)
    return False


async def explain(run: RunContext, change: ChangeSet, release: Release, report: HealthReport) -> None:
    """Have an agent draft the incident. The rollback is done by then and does not depend on it.

    Effects:
        One attempt; where the agent cannot, its error stands in the ledger and the run ends all the same.
    """
    workspace, number = await run.worktree.made(), run.next_number("monitoring", "reading")

    async def look() -> str:
        return await run.service_log(release.release_id)

    log = await observe(run, "monitoring", f"log/{number}", look)

    def accept(draft: IncidentDraft) -> Incident:
        return Incident.model_validate(
            {**draft.model_dump(), "release": release.digest, "health_report": report.digest}
        )

    diff = workspace.diff(change.base_commit, change.commit)
    try:
        await propose(
            run,
            monitoring.AGENT,
            number,
            Incident,
            accept,
            brief=monitoring.brief(change, report, diff=diff, log=log),
            folder=await run.checkout(release.commit),
            inputs={"report": report.digest, "change": change.digest},
            part="reading",
        )
    except PhasegateError as error:
        _log.warning("the incident of %s has no reading: %s", run.run.id, error.message)
