"""Rights of the person who cleans: each run's policy says if they may remove what it left behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from phasegate.flows.cli.actions.signing import command_giver
from phasegate.flows.cli.session import Session
from phasegate.infra.errors import NotAllowed, TrailBroken
from phasegate.infra.ledger import Run
from phasegate.infra.ledger.gates.commands import CommandRequest


@dataclass(frozen=True)
class CleaningRights:
    """Rights of a person to clean runs.

    Attributes:
        session: The ledger and the person at the keyboard.
        key: The key to sign with, where commands are signed.
        reasons: Runs that were looked at, with the reason to leave each as it is; empty for those that may be cleaned.
    """

    session: Session
    key: Path | None
    reasons: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def left(self) -> dict[str, str]:
        """Runs that are left as they are, with the reason of each."""
        return {run: why for run, why in self.reasons.items() if why}

    def may_clean(self, run: Run) -> bool:
        """True if the person may clean a run; the refusal is on record in the run."""
        if run.id not in self.reasons:
            self.reasons[run.id] = self._reason_to_leave(run)
        return not self.reasons[run.id]

    def _reason_to_leave(self, run: Run) -> str:
        commands = self.session.ledger.commands
        try:
            options = {"key": self.key} if commands.signers(run.id) is not None else {}
            giver = command_giver(self.session, run, "clean", options)
            if giver is not None:
                commands.require_allowed(CommandRequest(run.id, "clean", giver.name, signature=giver.signature))
        except (NotAllowed, TrailBroken) as error:
            return error.message
        return ""
