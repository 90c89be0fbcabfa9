"""Decisions of people at a run's interrupt gates, read from the ledger and checked each time (P4, P5).

Used by an agent's budget and guardrails. It opens no gate and waits for no person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from phasegate.agents.loop import Grant
from phasegate.agents.tools.guardrails import Answer, PermissionRequest
from phasegate.flows.runs.interrupts import BudgetIncreaseRequest, PermissionRequested
from phasegate.infra.ledger import Attempt, Decision, Gate, Ledger

Asked = TypeVar("Asked", bound=BudgetIncreaseRequest | PermissionRequested)


def subject_of(ledger: Ledger, row: Gate, kind: type[Asked]) -> Asked:
    """Subject of an interrupt gate, checked against its stored digest.

    Raises:
        TrailBroken: It was altered.
    """
    return ledger.artifacts.get(row.subject[kind.kind], kind)


def granted_budgets(ledger: Ledger, run_id: str) -> list[Grant]:
    """Increases over policy's budgets that people allowed a run."""
    return [
        Grant(subject.scope, subject.of, subject.what, subject.grant)
        for _, subject, decision in _answered(ledger, run_id, "budget", BudgetIncreaseRequest)
        if decision.verdict == "approve" and subject.run == run_id
    ]


@dataclass(frozen=True)
class GateDecisions:
    """Permissions that people gave an attempt's agent; a `Permission` of its tools.

    Attributes:
        ledger: The ledger with the gates and decisions.
        attempt: The attempt whose agent asks.
        asked: The attempt that people were asked about: the same, or for a rehearsal the one that it repeats.
    """

    ledger: Ledger
    attempt: Attempt
    asked: Attempt

    def answer(self, request: PermissionRequest) -> Answer:
        """As `Permission.answer`: for the one call that was asked about, or for the rest of the stage."""
        decision = self._decision(request)
        if decision is None:
            return "unanswered"
        return "granted" if decision.verdict == "approve" else "refused"

    def note(self, request: PermissionRequest) -> str:
        """As `Permission.note`."""
        decision = self._decision(request)
        return "" if decision is None else decision.note

    def _decision(self, request: PermissionRequest) -> Decision | None:
        run_id, turn = self.asked.run_id, self._turn()
        for row, subject, decision in _answered(self.ledger, run_id, "permission", PermissionRequested):
            if subject.about == (self.asked.id, turn, request.call_id, request.command):
                return decision
            holds_on = decision.verdict == "approve" and self._is_for_stage(row)
            if holds_on and subject.stage == self.attempt.stage and _is_covered(request, subject):
                return decision
        return None

    def _turn(self) -> int:
        """The turn whose calls are being carried out: the latest that the model has answered."""
        return self.ledger.exchanges.usage(self.attempt.run_id, attempt_id=self.attempt.id).turns

    def _is_for_stage(self, row: Gate) -> bool:
        """True if all who approved did so for the rest of the stage."""
        decisions = [decision for decision in self.ledger.gates.decisions(row.run_id) if decision.gate_id == row.id]
        return all(decision.for_stage for decision in decisions if decision.verdict == "approve")


def _is_covered(request: PermissionRequest, subject: PermissionRequested) -> bool:
    """True if a stage permission covers a request: the same line, or only programs that it names."""
    return request.command == subject.command or (
        bool(request.programs) and set(request.programs) <= set(subject.programs)
    )


def _answered(ledger: Ledger, run_id: str, gate: str, kind: type[Asked]) -> Iterator[tuple[Gate, Asked, Decision]]:
    """The interrupt gates of one name on which decisions that count amount to an answer."""
    for row in ledger.gates.list(run_id):
        if row.gate == gate and row.status in {"approved", "revised", "rejected"}:
            ruling = ledger.gates.effective_decision(row, row.subject)
            if ruling is not None:
                yield row, subject_of(ledger, row, kind), ruling
