"""Gate `promotion` after an inconclusive analysis: the analysis continues while a person thinks.

A decision is bound to the report that the gate was opened with. Later measurements are shown. Only a failure among them
changes anything: it closes the gate, whatever was decided (decision 17).
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


def raise_if_breached(report: HealthReport, release: Candidate | Release, when: str = "") -> None:
    """Raise if a report fails the release.

    Raises:
        Breached: The report's verdict is bad.
    """
    if report.verdict in BROKEN:
        raise Breached(report, release, when)


async def decided_while_measured(
    analysis: ReleaseAnalysis,
    stage: str,
    report: HealthReport,
    subject: Subject,
    metrics: Sequence[MetricPolicy],
    progress: ProgressReporter,
    checks: Sequence[ConcurrentCheck] = (),
) -> Decision | None:
    """Ask for a decision on a release that an analysis could not judge, and measure on meanwhile.

    Args:
        analysis: The analysis of the release.
        stage: The stage that the analysis belongs to.
        report: The inconclusive report.
        subject: The subject of the decision.
        metrics: The metrics to measure meanwhile.
        progress: The reporter.
        checks: Other checks that may close the gate.

    Returns:
        The decision, or None if policy has the gate off.

    Raises:
        Breached: A measurement made meanwhile fails the release.
        SubjectStale: The baseline has changed, or a concurrent check has closed the gate.

    Effects:
        Gate `promotion`, and an attempt `watching` with all that was measured while it was open.
    """
    run = analysis.run
    number = run.numbers.next("gate", "promotion")
    if run.policy.gates.promotion.off:
        return await request_decision(run, "promotion", number, subject)
    background = analysis.in_background(stage, "watching", metrics, progress.throttled(GATE), {"report": report.digest})
    decision, outdated = None, None
    try:
        decision = await request_decision(run, "promotion", number, subject, checks=[background, *checks])
    except SubjectStale as ended:
        outdated = ended
    raise_if_breached(await background.end(), analysis.release, "while gate promotion was open")
    if outdated is not None:
        raise outdated
    return decision
