"""Gate `promotion` after an analysis that says neither yes nor no: measured on while a person thinks.

A decision is bound to the report that the gate was opened with. What is measured meanwhile is shown; only a failure
found in it changes anything: it closes the gate, whatever was decided (decision 17).
"""

from __future__ import annotations

from collections.abc import Sequence

from phasegate.flows.lifecycle.gates.gates import ConcurrentCheck, Subject, request_decision
from phasegate.flows.lifecycle.rollout.analysis import ReleaseAnalysis
from phasegate.flows.lifecycle.rollout.progress import GATE, ProgressReporter
from phasegate.flows.lifecycle.signals import Breached, SubjectStale
from phasegate.infra.deploy.target import Candidate, Release
from phasegate.infra.ledger import Decision
from phasegate.infra.metrics.analysis.watch import BROKEN
from phasegate.infra.metrics.report import HealthReport
from phasegate.infra.policy.monitor import MetricPolicy


def raise_if_breached(report: HealthReport, made: Candidate | Release, when: str = "") -> None:
    """Let a release go on that was not found bad.

    Raises:
        Breached: It was.
    """
    if report.verdict in BROKEN:
        raise Breached(report, made, when)


async def decided_while_measured(
    analysis: ReleaseAnalysis,
    stage: str,
    report: HealthReport,
    subject: Subject,
    metrics: Sequence[MetricPolicy],
    progress: ProgressReporter,
    checks: Sequence[ConcurrentCheck] = (),
) -> Decision | None:
    """Ask whether a release may go on that could not be judged; None when policy has the gate off.

    Args:
        analysis: What is measured.
        stage: Whose attempt the analysis is.
        report: The report that says neither yes nor no.
        subject: What the decision is bound to.
        metrics: What is measured on.
        progress: Where it is told.
        checks: Other checks that may end it.

    Raises:
        Breached: What was measured meanwhile says that the release is bad.
        SubjectStale: The baseline is not there any more, or a concurrent check has ended it.

    Effects:
        Gate `promotion`, and an attempt `watching` with all that was measured while it was open.
    """
    run = analysis.run
    number = run.next_number("gate", "promotion")
    if run.policy.gates.promotion.off:
        return await request_decision(run, "promotion", number, subject)
    background = analysis.in_background(stage, "watching", metrics, progress.throttled(GATE), {"report": report.digest})
    decision, outdated = None, None
    try:
        decision = await request_decision(run, "promotion", number, subject, checks=[background, *checks])
    except SubjectStale as ended:
        outdated = ended
    raise_if_breached(await background.end(), analysis.made, "while gate promotion was open")
    if outdated is not None:
        raise outdated
    return decision
