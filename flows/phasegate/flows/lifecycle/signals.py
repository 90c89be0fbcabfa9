"""Signals by which a run leaves its pipeline before its end. Control flow, not errors: `runner` handles each."""

from __future__ import annotations

from phasegate.infra.deploy.target import Candidate, Release
from phasegate.infra.errors import DeployFailed, OperatorNeeded, PortTaken
from phasegate.infra.ledger import Decision
from phasegate.infra.metrics.report import HealthReport


class RunSignal(Exception):
    """The run leaves its pipeline."""


class PauseRequested(RunSignal):
    """A person asked for a pause."""


class InputRequired(RunSignal):
    """An agent cannot continue until a person has answered it."""

    def __init__(self, need: OperatorNeeded) -> None:
        """Keep the agent's need."""
        super().__init__(need.message)
        self.need = need


class Rewound(RunSignal):
    """A person had the run put back: it is executed again from the top."""


class SubjectStale(RunSignal):
    """A precondition of the subject no longer holds: the product is made, and asked about, again."""

    def __init__(self, why: str) -> None:
        """Keep the change, for the next round."""
        super().__init__(why)
        self.why = why


class Remade(RunSignal):
    """An approved product was made again for a changed world, and the gate asks about it again."""

    def __init__(self, why: str, product: object) -> None:
        """Keep the change, and the new product."""
        super().__init__(why)
        self.why, self.product = why, product


class CancelRequested(RunSignal):
    """A person asked the run to end, or to be rolled back."""


class RecordingExhausted(RunSignal):
    """A rehearsal has come to where the recorded run stopped."""


class Rejected(RunSignal):
    """A person said no at a gate."""

    def __init__(self, gate: str, decision: Decision) -> None:
        """Keep the gate and the decision."""
        super().__init__(f"{decision.approver} rejected {gate}")
        self.gate, self.decision = gate, decision


class ReleaseFailed(RunSignal):
    """The target could not make the release, and what was made of it is rolled back."""

    def __init__(self, error: DeployFailed | PortTaken) -> None:
        """Keep the target's error."""
        super().__init__(error.message)
        self.error = error


class Breached(RunSignal):
    """The release broke its service levels, and is rolled back."""

    def __init__(self, report: HealthReport, release: Candidate | Release, when: str = "") -> None:
        """Keep the report, the release, and the activity during which it broke."""
        super().__init__(f"the release {report.verdict} its health checks")
        self.report, self.release, self.when = report, release, when
