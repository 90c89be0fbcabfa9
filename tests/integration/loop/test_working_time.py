"""P12: what counts as working time is what passed while an agent was at work, by the ledger's clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.ledgers import accepted

from phasegate.agents.loop.budget import RunBudget
from phasegate.infra.clock import FixedClock
from phasegate.infra.errors import BudgetExceeded
from phasegate.infra.ledger import Attempt, Ledger, Usage
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.policy.budgets import BudgetPolicy, DayBudgetPolicy, StageBudgetPolicy, StagesBudgetPolicy

CLOCK = FixedClock(datetime(2026, 11, 23, 9, tzinfo=UTC))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger with a run, whose clock advances when a test says so."""
    made = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=CLOCK)
    accepted(made)
    yield made
    made.close()


def at_work(ledger: Ledger, stage: str, *seconds: float, run: str = "run-one") -> Attempt:
    """An agent that works, and is then away for an hour."""
    attempt, lease = ledger.attempts.begin(
        run, stage, "", 1, inputs={}, model="openai:gpt-5.3-codex", prompt="", holder="h"
    )
    assert lease is not None
    turn = ledger.exchanges.usage(run).turns
    for number, length in enumerate(seconds):
        CLOCK.advance(timedelta(seconds=length))
        if number % 2:
            ledger.note(run, EventKind.TOOLS_ANSWERED, payload={"attempt": attempt.id})
        else:
            answered(ledger, attempt, turn := turn + 1)
    ledger.attempts.release(lease)
    CLOCK.advance(timedelta(hours=1))
    return attempt


def answered(ledger: Ledger, attempt: Attempt, turn: int) -> None:
    """A model call of an agent was answered just now."""
    ledger.exchanges.record(
        attempt,
        turn,
        model=attempt.model,
        request=b"{}",
        previous=b"",
        reply={"role": "assistant", "text": "", "calls": []},
        response="",
        usage=Usage(input_tokens=1, output_tokens=1),
        cost_usd=0.0,
        latency_seconds=0.0,
    )


def over(ledger: Ledger, attempt: Attempt, policy: BudgetPolicy) -> str:
    """The usage that the ledger claims before the next call of the attempt's agent; empty if the call is allowed."""
    try:
        with RunBudget(ledger, policy).call(attempt, b"a request"):
            return ""
    except BudgetExceeded as error:
        return f"{error.context['scope']} {error.context['of']}: {error.context['used']}"


def test_the_time_a_person_thinks_is_none_of_it(ledger: Ledger) -> None:
    """Mutation tried: an attempt that begins again counts from its last event: thinking is charged."""
    at_work(ledger, "prd", 2, 1)
    attempt = at_work(ledger, "prd", 4)
    assert over(ledger, attempt, BudgetPolicy(wall_clock=timedelta(seconds=8))) == ""
    assert over(ledger, attempt, BudgetPolicy(wall_clock=timedelta(seconds=7))) == "run : 7.0"


def test_a_stage_has_its_own_and_a_run_has_all(ledger: Ledger) -> None:
    """Mutation tried: `seconds` of a stage counts all stages."""
    at_work(ledger, "prd", 5)
    attempt = at_work(ledger, "testing", 2)
    stages = StagesBudgetPolicy(testing=StageBudgetPolicy(wall_clock=timedelta(seconds=3)))
    assert over(ledger, attempt, BudgetPolicy(stages=stages)) == ""
    tight = StagesBudgetPolicy(testing=StageBudgetPolicy(wall_clock=timedelta(seconds=2)))
    assert over(ledger, attempt, BudgetPolicy(stages=tight)) == "stage testing: 2.0"
    assert over(ledger, attempt, BudgetPolicy(wall_clock=timedelta(seconds=7))) == "run : 7.0"


def test_a_day_has_what_was_worked_in_it_by_all_runs_of_the_repository(ledger: Ledger) -> None:
    """Mutations tried: `runs_since` finds nothing; what passes midnight counts for the day it ends in."""
    accepted(ledger, "run-two")
    accepted(ledger, "run-elsewhere", repository="/elsewhere")
    tomorrow = CLOCK.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    CLOCK.advance(tomorrow - timedelta(seconds=2) - CLOCK.now())
    for run in ("run-one", "run-elsewhere"):
        at_work(ledger, "prd", 5, run=run)
    attempt = at_work(ledger, "prd", 4, run="run-two")
    assert over(ledger, attempt, day(seconds=8)) == ""
    assert over(ledger, attempt, day(seconds=7)) == f"day {tomorrow:%Y-%m-%d}: 7.0"
    CLOCK.advance(timedelta(days=1))
    assert over(ledger, attempt, day(seconds=1)) == ""


def day(*, seconds: float) -> BudgetPolicy:
    return BudgetPolicy(day=DayBudgetPolicy(wall_clock=timedelta(seconds=seconds)))
