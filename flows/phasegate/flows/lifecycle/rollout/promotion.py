"""Gate `promotion` after a measuring that says neither yes nor no: measured on while a person thinks.

A decision is bound to the report that the gate was opened with. What is measured meanwhile is shown; only a failure
found in it changes anything: it closes the gate, whatever was decided (decision 17).
"""

from __future__ import annotations

from collections.abc import Sequence

from phasegate.flows.lifecycle.gates.gates import Beside, Subject, ask
from phasegate.flows.lifecycle.rollout.analysis import Measuring
from phasegate.flows.lifecycle.rollout.progress import GATE, Progress
from phasegate.flows.lifecycle.signals import Breached, Outdated
from phasegate.infra.deploy.target import Candidate, Release
from phasegate.infra.ledger import Decision
from phasegate.infra.metrics.analysis.watch import BROKEN
from phasegate.infra.metrics.report import HealthReport
from phasegate.infra.policy.monitor import MetricPolicy


def require_unbroken(report: HealthReport, made: Candidate | Release, when: str = "") -> None:
    """Let a release go on that was not found bad.

    Raises:
        Breached: It was.
    """
    if report.verdict in BROKEN:
        raise Breached(report, made, when)


async def decided_while_measured(
    measuring: Measuring,
    stage: str,
    report: HealthReport,
    subject: Subject,
    metrics: Sequence[MetricPolicy],
    progress: Progress,
    beside: Sequence[Beside] = (),
) -> Decision | None:
    """Ask whether a release may go on that could not be judged; None when policy has the gate off.

    Args:
        measuring: What is measured.
        stage: Whose attempt the measuring is.
        report: The report that says neither yes nor no.
        subject: What the decision is bound to.
        metrics: What is measured on.
        progress: Where it is told.
        beside: What else goes on and may end it.

    Raises:
        Breached: What was measured meanwhile says that the release is bad.
        Outdated: What it was measured beside is not there any more, or what goes on beside has ended it.

    Effects:
        Gate `promotion`, and an attempt `watching` with all that was measured while it was open.
    """
    run = measuring.run
    number = run.next_number("gate", "promotion")
    if run.policy.gates.promotion.off:
        return await ask(run, "promotion", number, subject)
    watching = measuring.beside(stage, "watching", metrics, progress.sparse(GATE), {"report": report.digest})
    decision, outdated = None, None
    try:
        decision = await ask(run, "promotion", number, subject, beside=[watching, *beside])
    except Outdated as ended:
        outdated = ended
    require_unbroken(await watching.end(), measuring.made, "while gate promotion was open")
    if outdated is not None:
        raise outdated
    return decision
