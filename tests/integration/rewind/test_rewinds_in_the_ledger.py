"""Record of a rewind in the ledger: one event; everything it discarded is marked and still there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.ledgers import accepted

from phasegate.infra.clock import FixedClock
from phasegate.infra.errors import NotAllowed
from phasegate.infra.ledger import Ledger, RunStatus
from phasegate.infra.ledger.rewinds import Discarded


@pytest.fixture
def ledger(tmp_path: Path):
    opened = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=FixedClock(datetime(2026, 1, 1, tzinfo=UTC)))
    accepted(opened)
    yield opened
    opened.close()


def begin(ledger: Ledger, number: int = 1):
    return ledger.attempts.begin(
        "run-one", "implementation", "", number, inputs={}, model="m", prompt="p", holder="here/1"
    )


@pytest.mark.parametrize("status", ["accepted", "running", "rejected", "cancelled", "rolled-back"])
def test_only_a_run_that_stands_still_and_has_not_been_undone_is_put_back(ledger: Ledger, status: RunStatus) -> None:
    """Mutation tried: `rejected` added to `_STANDS_STILL`."""
    ledger.runs.set_status("run-one", status)
    with pytest.raises(NotAllowed):
        ledger.rewinds.ask("run-one", 1, actor="ana")
    assert ledger.runs.get("run-one").request == ""


def test_an_attempt_somebody_works_on_refuses(ledger: Ledger) -> None:
    """Mutation tried: leaving the leases unread."""
    _, lease = begin(ledger)
    assert lease is not None
    ledger.runs.set_status("run-one", "waiting")
    with pytest.raises(NotAllowed, match="is being worked on"):
        ledger.rewinds.ask("run-one", 1, actor="ana")
    ledger.attempts.release(lease)
    ledger.rewinds.ask("run-one", 7, actor="ana")
    assert (ledger.runs.get("run-one").request, ledger.rewinds.asked("run-one")) == ("rewind", 7)


def test_what_is_thrown_away_is_marked_in_one_event_and_stays(ledger: Ledger) -> None:
    attempt, _ = begin(ledger)
    run = ledger.runs.get("run-one")
    gate = ledger.gates.open(run, "prd", 1, subject={})
    effect = ledger.effects.intend(run.id, "merge", "run-one/merge", intent={}, compensation="revert")
    before = len(ledger.events(run.id))
    ledger.rewinds.record(run.id, Discarded([attempt.id], [gate.id], [effect.id]), {"commit": "abc"})
    (event,) = ledger.events(run.id, after=before)
    assert (event.kind, event.payload["number"], event.payload["commit"]) == ("run.rewound", 1, "abc")
    assert ledger.attempts.get(attempt.id).superseded == 1
    assert ledger.gates.get(gate.id).status == "void"
    assert ledger.effects.get(effect.key).superseded == 1
    assert ledger.rewinds.count(run.id) == 1
    ledger.audit(run.id)


def test_a_rewind_that_got_stuck_is_what_resume_goes_on_with(ledger: Ledger) -> None:
    """Mutation tried: `resume` clearing every request: the run would continue half rewound."""
    ledger.runs.set_status("run-one", "waiting")
    ledger.rewinds.ask("run-one", 1, actor="ana")
    with pytest.raises(NotAllowed, match="asked to rewind"):
        ledger.runs.ask("run-one", "pause", actor="ana")
    ledger.runs.set_status("run-one", "needs-operator")
    assert ledger.runs.resume("run-one", actor="ana").request == "rewind"
