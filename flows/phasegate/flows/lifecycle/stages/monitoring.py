"""Stage `monitoring`: code measures and judges; if the release breached its levels, an agent explains afterwards."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from phasegate.agents import monitoring
from phasegate.agents.models.conversation import JsonObject
from phasegate.agents.monitoring import Incident, IncidentDraft, TimelineEntry
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.effects.saga import roll_back
from phasegate.flows.lifecycle.rollout.analysis import ReleaseAnalysis
from phasegate.flows.lifecycle.rollout.baseline import Baseline
from phasegate.flows.lifecycle.rollout.incident import LOG_CHARACTERS, incident, on_record, tables_of
from phasegate.flows.lifecycle.rollout.progress import CUT_OVER, ProgressReporter
from phasegate.flows.lifecycle.rollout.promotion import decided_while_measured, raise_if_breached
from phasegate.flows.lifecycle.signals import Breached, SubjectStale
from phasegate.flows.lifecycle.stages.run_agent import propose
from phasegate.infra.deploy.target import Candidate, Release
from phasegate.infra.errors import PastPivot, PhasegateError, TargetRefused
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.metrics.report import HealthReport
from phasegate.infra.workspace import ChangeSet

_log = logging.getLogger(__name__)


async def monitor(run: RunContext, change: ChangeSet, release: Release) -> None:
    """Monitor a release until it has passed; roll it back on a breach, or past a pivot have a person decide.

    Raises:
        Breached, PastPivot: As `roll_back_release`.
        TargetRefused: Another release is current by now, so this one cannot be judged.

    Effects:
        As `_judge` and `roll_back_release`.
    """
    while True:
        try:
            return await _judge(run, release)
        except Breached as breach:
            await roll_back_release(run, change, breach)


async def _judge(run: RunContext, release: Release) -> None:
    """Measure the current release as policy says, and then for its bake time once it has passed.

    Raises:
        Breached: It failed, or it could not be judged and a person did not approve it.
        TargetRefused: As `_passed`.

    Effects:
        One attempt for the analysis and one for the bake, each with a gate `promotion` if it is inconclusive.
    """
    analysis, progress = ReleaseAnalysis(run, release), ProgressReporter(run, "monitoring")
    metrics, inputs, is_judged = analysis.named(()), {"release": release.digest}, False
    while not is_judged:
        on_measurement = progress.per_measurement(metrics)
        report = await analysis.once("monitoring", "measuring", metrics, on_measurement, inputs)
        is_judged = await _passed(analysis, progress, report, "after the cut-over")
    if bake := run.policy.monitor.bake:
        until = await _begun(run) + bake
        is_judged = False
        while not is_judged:
            progress.begin("baking", until=until)
            report = await analysis.until("monitoring", "baking", until, progress.throttled(CUT_OVER), inputs)
            is_judged = await _passed(analysis, progress, report, "while it baked")


async def _passed(analysis: ReleaseAnalysis, progress: ProgressReporter, report: HealthReport, when: str) -> bool:
    """Judge a report: the release passed, or a person approves it although it could not be judged.

    Returns:
        False if the release was changed in place while a person was asked, so that it must be measured again.

    Raises:
        Breached: The report or the person failed it.
        TargetRefused: Another release is current by now, so this one cannot be judged.
    """
    run, release = analysis.run, analysis.release
    raise_if_breached(report, release, when)
    if report.verdict == "passed":
        return True
    progress.begin("inconclusive: gate promotion")
    place = ReleaseInPlace(release.release_id, await _in_place(run, release))
    try:
        decision = await decided_while_measured(
            analysis, "monitoring", report, [report, release, place], analysis.named(()), progress
        )
    except SubjectStale as outdated:
        run.report_step("monitoring", outdated.why)
        current = (await run.world.target.status()).current
        if current is not None and current.release_id == release.release_id:
            return False
        remedy = f"`phasegate rollback {run.id}` takes back what is left of it."
        raise TargetRefused(f"{outdated.why} What was measured says nothing of it.", remedy=remedy) from None
    if decision is not None and decision.verdict != "approve":
        raise Breached(report, release, when)
    return True


@dataclass(frozen=True)
class ReleaseInPlace:
    """Release as it was measured in its place; a person's decision depends on it."""

    release_id: str
    serving: Baseline

    @property
    def kind(self) -> str:
        """As `Precondition.kind`."""
        return "target"

    @property
    def digest(self) -> str:
        """Digest of the current release."""
        return self.serving.digest

    async def violation(self, run: RunContext) -> str:
        """As `Precondition.violation`."""
        now = await run.source.current(partial(Baseline.now, run), recorded=self.serving)
        ours = now.release_id == self.release_id
        return self.serving.changed(now) or ("" if ours else f"Release {self.release_id} does not serve any more.")


async def _in_place(run: RunContext, release: Candidate | Release) -> Baseline:
    """Baseline at the time the gate is asked; a rehearsal does not observe the target."""

    async def seen() -> Baseline:
        return await Baseline.seen(run, "monitoring", f"place/{run.numbers.next('monitoring', 'place')}")

    recorded = Baseline(run.policy.deploy.target, run.world.service, release.release_id, release.commit)
    return await run.source.current(seen, recorded=recorded)


async def _begun(run: RunContext) -> datetime:
    """The time at which the release first began to bake; a restart keeps it."""

    async def now() -> str:
        return datetime.now(UTC).isoformat()

    name = f"bake/{run.numbers.next('monitoring', 'bake')}"
    return datetime.fromisoformat(await run.source.observe("monitoring", name, now))


async def roll_back_release(run: RunContext, change: ChangeSet, breach: Breached) -> None:
    """Roll back a release that breached its levels; past a pivot, return only once a person has resumed the run.

    Raises:
        Breached: The release is rolled back.
        PastPivot: It cannot be, and no person has resumed the run since: the release stays current, and the run waits.

    Effects:
        The compensations, and one attempt at an incident.
    """
    try:
        await roll_back(run, why=f"{breach}: {breach.report.failed_reasons}")
    except PastPivot as past:
        await draft_incident(run, change, breach)
        if _let_go_on(run, breach.report):
            return
        past.context["report"] = breach.report.digest
        raise
    await draft_incident(run, change, breach)
    raise breach


def _let_go_on(run: RunContext, report: HealthReport) -> bool:
    """True if a person resumed the run after it had stopped on this report as past its pivot."""
    stopped = False
    for event in run.ledger.events(run.id, kinds=(EventKind.RUN_NEEDS_OPERATOR, EventKind.RUN_RESUMED)):
        if event.kind == EventKind.RUN_RESUMED and stopped:
            return True
        reason: dict[str, Any] = event.payload.get("reason") or {}
        stopped = bool(reason.get("context", {}).get("report") == report.digest)
    return False


async def draft_incident(run: RunContext, change: ChangeSet, breach: Breached) -> None:
    """Run an agent that drafts the incident. The rollback is done by then and does not depend on it.

    Effects:
        One attempt; if the agent fails, its error is in the ledger and the run ends all the same.
    """
    release, report = breach.release, breach.report
    workspace, number = await run.world.worktree.open(), run.numbers.next("monitoring", "reading")

    async def look() -> str:
        return await run.world.service_log(release.release_id)

    async def recall() -> JsonObject:
        return {"moments": [moment.model_dump() for moment in on_record(run, report)]}

    log = await run.source.observe("monitoring", f"log/{number}", look)
    recalled = await run.source.observe("monitoring", f"record/{number}", recall)
    record = [TimelineEntry.model_validate(moment) for moment in recalled["moments"]]
    written = await run.world.service_log(release.release_id, characters=LOG_CHARACTERS)
    tables = await asyncio.to_thread(tables_of, run, change, written)

    def accept(draft: IncidentDraft) -> Incident:
        return incident(draft, tables, record, release=release.digest, health_report=report.digest)

    diff = workspace.diff(change.base_commit, change.commit)
    try:
        await propose(
            run,
            monitoring.AGENT,
            number,
            Incident,
            accept,
            brief=monitoring.brief(change, report, diff=diff, log=log, record=record),
            folder=await run.world.checkout(release.commit),
            inputs={"report": report.digest, "change": change.digest},
            part="reading",
            tables=tables,
        )
    except PhasegateError as error:
        _log.warning("the incident of %s has no reading: %s", run.id, error.message)
