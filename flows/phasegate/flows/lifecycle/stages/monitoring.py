"""Stage `monitoring`: code measures and judges; where the release did not hold, an agent explains afterwards."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from phasegate.agents import monitoring
from phasegate.agents.monitoring import Incident, IncidentDraft
from phasegate.flows.lifecycle.adoption import observe
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.endings import Breached
from phasegate.flows.lifecycle.stages.agent import propose
from phasegate.flows.lifecycle.stages.measuring import Measuring
from phasegate.flows.lifecycle.stages.progress import CUT_OVER, Progress
from phasegate.flows.lifecycle.stages.promotion import decided_while_measured, require_unbroken
from phasegate.infra.deploy.target import Release
from phasegate.infra.errors import PhasegateError
from phasegate.infra.metrics.report import HealthReport
from phasegate.infra.workspace import ChangeSet

_log = logging.getLogger(__name__)


async def monitor(run: RunContext, release: Release) -> None:
    """Measure a release in its place as policy says, and once it has passed for as long as it bakes.

    Raises:
        Breached: It is bad; or it could not be judged, and a person did not want it all the same.

    Effects:
        One attempt for the measuring and one for the bake, each with a gate `promotion` where it says neither yes nor
        no.
    """
    measuring, progress = Measuring(run, release), Progress(run, "monitoring")
    metrics, inputs = measuring.named(()), {"release": release.digest}
    told = progress.counted(metrics)
    report = await measuring.once("monitoring", "measuring", metrics, told, inputs)
    await _passed(measuring, progress, report, "after the cut-over")
    if bake := run.policy.monitor.bake:
        until = await _begun(run) + bake
        progress.begin("baking", until=until)
        report = await measuring.until("monitoring", "baking", until, progress.sparse(CUT_OVER), inputs)
        await _passed(measuring, progress, report, "while it baked")


async def _passed(measuring: Measuring, progress: Progress, report: HealthReport, when: str) -> None:
    """Let a release go on that has passed, or that a person wants although it could not be judged.

    Raises:
        Breached: It may not.
    """
    release = measuring.made
    require_unbroken(report, release, when)
    if report.verdict == "passed":
        return
    progress.begin("inconclusive: gate promotion")
    decision = await decided_while_measured(
        measuring, "monitoring", report, [report, release], measuring.named(()), progress
    )
    if decision is not None and decision.verdict != "approve":
        raise Breached(report, release, when)


async def _begun(run: RunContext) -> datetime:
    """When the release began to bake; a restart does not begin it anew."""

    async def now() -> str:
        return datetime.now(UTC).isoformat()

    name = f"bake/{run.next_number('monitoring', 'bake')}"
    return datetime.fromisoformat(await observe(run, "monitoring", name, now))


async def explain(run: RunContext, change: ChangeSet, breach: Breached) -> None:
    """Have an agent draft the incident. The rollback is done by then and does not depend on it.

    Effects:
        One attempt; where the agent cannot, its error stands in the ledger and the run ends all the same.
    """
    release, report = breach.made, breach.report
    workspace, number = await run.worktree.made(), run.next_number("monitoring", "reading")

    async def look() -> str:
        return run.service_log(release.release_id)

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
