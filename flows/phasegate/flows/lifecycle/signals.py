"""Signals by which a run leaves its pipeline before its end. Control flow, not errors: `runner` catches each."""

from __future__ import annotations

from phasegate.infra.deploy.target import Candidate, Release
from phasegate.infra.errors import OperatorNeeded
from phasegate.infra.ledger import Decision
from phasegate.infra.metrics.report import HealthReport


class RunSignal(Exception):
    """The run leaves its pipeline."""


class PauseRequested(RunSignal):
    """A person asked for a pause."""


class InputRequired(RunSignal):
    """An agent cannot go on until a person has answered it."""

    def __init__(self, need: OperatorNeeded) -> None:
        """Keep what it needs."""
        super().__init__(need.message)
        self.need = need


class InputReceived(RunSignal):
    """A person has answered an agent: the run is executed again from the top, to where it waits."""


class Rewound(RunSignal):
    """A person had the run put back: it is executed again from the top."""


class SubjectStale(RunSignal):
    """What was agreed on was made for a world that is another one now: it is made, and asked for, anew."""

    def __init__(self, why: str) -> None:
        """Keep what has changed, for whoever makes it anew."""
        super().__init__(why)
        self.why = why


class Remade(RunSignal):
    """Signal that an approved product was made anew for a world that has changed: it is asked for anew."""

    def __init__(self, why: str, product: object) -> None:
        """Keep what has changed, and what is asked for now."""
        super().__init__(why)
        self.why, self.product = why, product


class CancelRequested(RunSignal):
    """A person asked the run to end, or to be rolled back."""


class RecordingExhausted(RunSignal):
    """A rehearsal has come to where the recorded run stopped."""


class Rejected(RunSignal):
    """A person said no at a gate."""

    def __init__(self, gate: str, decision: Decision) -> None:
        """Keep who said no to what."""
        super().__init__(f"{decision.approver} rejected {gate}")
        self.gate, self.decision = gate, decision


class Breached(RunSignal):
    """The release broke its service levels, and is taken back."""

    def __init__(self, report: HealthReport, made: Candidate | Release, when: str = "") -> None:
        """Keep the measurements, what was measured, and what was being done with it."""
        super().__init__(f"the release {report.verdict} its health checks")
        self.report, self.made, self.when = report, made, when

    @property
    def reasons(self) -> str:
        """What each metric that did not pass says."""
        return "; ".join(
            f"{metric.name}: {metric.reason}" for metric in self.report.metrics if metric.verdict != "passed"
        )
