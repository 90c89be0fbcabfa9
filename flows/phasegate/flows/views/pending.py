"""Open gates and questions of a run: the wait, the approvals that were given, and those that are missing.

Made for every door. A gate's row repeats the rules of its run's policy; the ledger compares both when a person decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from phasegate.infra.clock import SystemClock
from phasegate.infra.ledger import Decision, Gate, Ledger, Question, Run

Interval = tuple[datetime, datetime]
"""Begin and end of a time."""


@dataclass(frozen=True)
class Pending:
    """Wait of a run for a person.

    Attributes:
        gates: The open gates.
        decisions: The run's decisions, if a gate needs several.
        asks: True if an agent waits for an answer.
    """

    gates: tuple[Gate, ...] = ()
    decisions: tuple[Decision, ...] = ()
    asks: bool = False

    @property
    def names(self) -> list[str]:
        """The names of the open gates."""
        return [gate.gate for gate in self.gates]

    @property
    def text(self) -> str:
        """The wait in a few words, to follow a status: `at change (1 of 2 approvals)`, `for an answer`, or nothing."""
        gates = ", ".join(_named(gate, self.decisions) for gate in self.gates)
        parts = [f"at {gates}" if gates else "", "for an answer" if self.asks else ""]
        return " and ".join(part for part in parts if part)


def pending(ledger: Ledger, run: Run) -> Pending:
    """Read the wait of a run; a run that does not wait has none."""
    if run.status != "waiting":
        return Pending()
    gates = tuple(ledger.gates.waiting(run.id))
    decisions = tuple(ledger.gates.decisions(run.id)) if any(gate.quorum > 1 for gate in gates) else ()
    return Pending(gates, decisions, bool(ledger.questions.open(run.id)))


def waiting_times(
    gates: Sequence[Gate], decisions: Sequence[Decision], questions: Sequence[Question]
) -> tuple[Interval, ...]:
    """Times in which a run waited for a person, in their order and without overlap; an open wait lasts until now."""
    now = SystemClock().now()
    decided = {decision.gate_id: decision.decided_at for decision in decisions}
    times = [
        (gate.opened_at, decided.get(gate.id, now)) for gate in gates if gate.id in decided or gate.status == "open"
    ]
    times += [(question.asked_at, question.answered_at or now) for question in questions]
    merged: list[Interval] = []
    for start, end in sorted(times):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def waited_seconds(start: datetime, end: datetime, times: Sequence[Interval]) -> float:
    """Seconds between two moments in which a person was waited for."""
    return sum(max(0.0, (min(end, until) - max(start, since)).total_seconds()) for since, until in times)


def approvers(gate: Gate, decisions: Sequence[Decision]) -> list[str]:
    """People who have approved a gate, in their order."""
    given = [item for item in decisions if item.gate_id == gate.id and item.verdict == "approve"]
    return list(dict.fromkeys(item.approver for item in given))


def approvals_text(gate: Gate, decisions: Sequence[Decision]) -> str:
    """Sentences on the approvals of an open gate; empty where anyone may decide alone."""
    given = approvers(gate, decisions)
    excluded = gate.requester if gate.exclude_requester else ""
    people = [name for name in gate.roles if name not in {*given, excluded}]
    sentences: list[str] = []
    if gate.quorum > 1:
        by = f" ({', '.join(given)})" if given else ""
        sentences.append(f"{len(given)} of {gate.quorum} approvals{by}.")
    if gate.roles:
        sentences.append(f"May {'still ' if given else ''}decide: {', '.join(people) or 'nobody'}.")
    if excluded:
        sentences.append(f"{excluded} asked for the run and may not decide.")
    return " ".join(sentences)


def _named(gate: Gate, decisions: Sequence[Decision]) -> str:
    if gate.quorum == 1:
        return gate.gate
    return f"{gate.gate} ({len(approvers(gate, decisions))} of {gate.quorum} approvals)"
