"""Interrupts raised by an agent: a person is asked, and the run waits for the answer.

`runner` calls it with the interrupt that the agent's attempt returned. The attempt has not failed, and continues once
the answer is in the ledger. A question takes any words; a budget and a permission are interrupt gates, and take
decisions like any other.
"""

from __future__ import annotations

from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.gates.gates import require_decision
from phasegate.flows.lifecycle.signals import Rejected
from phasegate.flows.runs.interrupt_decisions import subject_of
from phasegate.flows.runs.interrupts import QUESTIONS, BudgetIncreaseRequest, PermissionRequested
from phasegate.infra.errors import BudgetExceeded, OperatorNeeded, PermissionAsked
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.policy.gates import InterruptGate


async def wait_for_answer(run: RunContext, need: OperatorNeeded) -> None:
    """Ask a person for an agent's need, and wait until they have answered.

    Args:
        run: The run.
        need: `QuestionAsked`, `BudgetExceeded` or `PermissionAsked`.

    Raises:
        Rejected: A budget is not raised: the run ends.
        PauseRequested: A person asked for a pause meanwhile; likewise the other signals of
            `RunContext.raise_if_interrupted`.
        Pause: The run is suspended.

    Effects:
        The run's status; for an interrupt gate its row, and the artifact it asks about. A repeat finds both.
    """
    match need:
        case BudgetExceeded():
            await _settle(run, "budget", BudgetIncreaseRequest.model_validate(need.context))
        case PermissionAsked():
            stage = AttemptId.parse(str(need.context["attempt"])).stage
            facts = {"run": run.id, "stage": stage, **need.context}
            await _settle(run, "permission", PermissionRequested.model_validate(facts))
        case _:
            await _wait_for_words(run)


async def _settle(run: RunContext, gate: InterruptGate, request: BudgetIncreaseRequest | PermissionRequested) -> None:
    """Open an interrupt gate, or find it as it stands, and wait for its decision."""
    number, subject = _round(run, gate, request)
    decision = await require_decision(run, gate, number, subject)
    if gate == "budget" and decision.verdict != "approve":
        raise Rejected(gate, decision)


def _round(
    run: RunContext, gate: InterruptGate, request: BudgetIncreaseRequest | PermissionRequested
) -> tuple[int, BudgetIncreaseRequest | PermissionRequested]:
    """Find the round of an interrupt's gate.

    Returns:
        The round's number and request. A repeated request gets the round and the text of the first one.
    """
    ledger = run.ledger
    rows = [row for row in ledger.gates.list(run.id) if row.gate == gate]
    for row in rows:
        existing = subject_of(ledger, row, QUESTIONS[gate])
        if existing.about == request.about:
            return row.number, existing
    ledger.artifacts.prepare(run.id, gate, request)
    return max((row.number for row in rows), default=0) + 1, request


async def _wait_for_words(run: RunContext) -> None:
    ledger, run_id = run.ledger, run.id

    def is_answered() -> bool:
        return bool(ledger.runs.get(run_id).request) or not ledger.questions.open(run_id)

    run.raise_if_interrupted()
    if is_answered():
        return
    ledger.runs.set_status(run_id, "waiting")
    await run.executor.wait_until("question", run_id=run_id, decided=is_answered, settings=run.settings)
