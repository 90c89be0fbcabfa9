"""Read this third: one attempt of a stage, the step in which a run makes progress.

A stage turns inputs into one artifact. Each try is an attempt with a number, and begins under a lease, which says
which engine works on it. An attempt ends finished, with an artifact, or failed, with an error. The ledger stores
either end for good. So a pass over the pipeline that comes to a finished attempt gets its artifact and does nothing.
Every stage works through `attempt` in `flows/phasegate/flows/lifecycle/attempts.py`; the rows are kept by
`infra/phasegate/infra/ledger/attempts.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from tests.support.greeter import write_greeter
from tests.support.lifecycle import LifecycleHarness, open_lifecycle

from phasegate.flows.lifecycle.attempts import attempt
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.signals import CancelRequested, PauseRequested
from phasegate.infra.artifacts import Artifact
from phasegate.infra.errors import LeaseHeld, SetupFailed
from phasegate.infra.ledger import Attempt, Lease

LEASE = timedelta(milliseconds=400)
KEY = "sk-proj-0123456789abcdefghijABCDEFGHIJ01"


class Summary(Artifact):
    """Artifact of the stage in these tests."""

    kind: ClassVar[str] = "summary"
    text: str


class Worker:
    """Work of the stage, which an agent would do at a price: it counts its calls and returns the given text."""

    def __init__(self, text: str = "Say Good day.") -> None:
        self.calls, self.text = 0, text

    async def __call__(self, row: Attempt) -> Summary | None:
        self.calls += 1
        return Summary(text=self.text)


@pytest.fixture
async def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[LifecycleHarness]:
    """A repository, a ledger, and an engine's resources. The engine's environment holds a provider's key."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    write_greeter(tmp_path)
    async with open_lifecycle(tmp_path, lease=LEASE) as harness:
        yield harness


@pytest.fixture
def run(harness: LifecycleHarness) -> RunContext:
    """A run that was accepted, as its stages see it."""
    return harness.context(harness.kick_off())


def inputs(ticket: str = "sha256:ticket") -> dict[str, str]:
    """The digests of all that the artifact depends on, by name."""
    return {"ticket": ticket}


async def test_an_attempt_stores_the_artifact_that_its_work_returned(
    harness: LifecycleHarness, run: RunContext
) -> None:
    """A result that is not in the ledger is lost with the process."""
    summary = await attempt(run, "prd", 1, Summary, Worker(), inputs=inputs())

    (row,) = harness.ledger.attempts.list(harness.only_run().id)
    assert (row.stage, row.number, row.status) == ("prd", 1, "finished")
    assert row.inputs == inputs()
    assert harness.ledger.artifacts.get(row.artifact or "", Summary) == summary


async def test_a_finished_attempt_is_never_worked_on_again(run: RunContext) -> None:
    """After each stop the pipeline runs from the top: an agent that worked again would cost its price again."""
    worker = Worker()
    first = await attempt(run, "prd", 1, Summary, worker, inputs=inputs())
    assert await attempt(run, "prd", 1, Summary, worker, inputs=inputs()) == first
    assert worker.calls == 1


async def test_other_inputs_make_an_attempt_void(run: RunContext) -> None:
    """A summary of a ticket that has changed since would send everything after it in a wrong direction."""
    worker = Worker()
    await attempt(run, "prd", 1, Summary, worker, inputs=inputs())
    await attempt(run, "prd", 1, Summary, worker, inputs=inputs("sha256:another ticket"))
    assert worker.calls == 2


async def test_a_failed_attempt_keeps_its_error_and_can_be_tried_again(
    harness: LifecycleHarness, run: RunContext
) -> None:
    """An operator reads the error, mends the cause, and resumes the run."""

    async def fails(row: Attempt) -> Summary | None:
        raise SetupFailed("`make deps` failed", remedy="Mend project.setup.")

    with pytest.raises(SetupFailed):
        await attempt(run, "prd", 1, Summary, fails, inputs=inputs())
    (row,) = harness.ledger.attempts.list(harness.only_run().id)
    assert (row.status, row.artifact) == ("failed", None)
    assert (row.error or {})["message"] == "`make deps` failed"
    assert (row.error or {})["remedy"] == "Mend project.setup."

    await attempt(run, "prd", 1, Summary, Worker(), inputs=inputs())
    (row,) = harness.ledger.attempts.list(harness.only_run().id)
    assert (row.status, row.error) == ("finished", None)


async def test_an_attempt_belongs_to_one_engine_at_a_time(harness: LifecycleHarness, run: RunContext) -> None:
    """Two engines that worked on the same change would pay twice and overwrite each other's files."""
    begin, worker = harness.ledger.attempts.begin, Worker()
    begin(harness.only_run().id, "prd", "", 1, inputs=inputs(), model="", prompt="", holder="there/engine")
    with pytest.raises(LeaseHeld, match="there/engine works on"):
        await attempt(run, "prd", 1, Summary, worker, inputs=inputs())
    assert worker.calls == 0


async def test_an_engine_renews_its_lease_for_as_long_as_it_works(harness: LifecycleHarness, run: RunContext) -> None:
    """An agent works for an hour, a lease lasts a minute: without renewal, another engine would take the attempt."""

    async def takes_longer_than_the_lease(row: Attempt) -> Summary | None:
        await asyncio.sleep(1.5 * LEASE.total_seconds())
        with pytest.raises(LeaseHeld):
            harness.ledger.attempts.begin(
                row.run_id, "prd", "", 1, inputs=inputs(), model="", prompt="", holder="there/engine"
            )
        return Summary(text="It took a while.")

    summary = await attempt(run, "prd", 1, Summary, takes_longer_than_the_lease, inputs=inputs())
    assert summary.text == "It took a while."


async def test_an_engine_that_hung_cannot_overwrite_its_successor(harness: LifecycleHarness, run: RunContext) -> None:
    """A laptop wakes from sleep and continues in good faith: by then, the attempt belongs to another engine."""
    successor: list[Lease | None] = []

    async def hangs(row: Attempt) -> Summary | None:
        time.sleep(1.5 * LEASE.total_seconds())  # noqa: ASYNC251  a process that hangs renews nothing
        _, lease = harness.ledger.attempts.begin(
            row.run_id, "prd", "", 1, inputs=inputs(), model="", prompt="", holder="there/engine"
        )
        successor.append(lease)
        return Summary(text="too late")

    with pytest.raises(LeaseHeld, match="was lost"):
        await attempt(run, "prd", 1, Summary, hangs, inputs=inputs())
    assert None not in successor, "the lease had run out, so the other engine got it"
    (row,) = harness.ledger.attempts.list(harness.only_run().id)
    assert (row.status, row.artifact) == ("running", None), "the other engine still works on it"


async def test_a_pause_ends_the_work_but_not_the_attempt(harness: LifecycleHarness, run: RunContext) -> None:
    """An agent yields between two turns by returning nothing. Resumed, it continues in the same attempt."""

    async def yields(row: Attempt) -> Summary | None:
        return None

    with pytest.raises(PauseRequested):
        await attempt(run, "prd", 1, Summary, yields, inputs=inputs())
    (row,) = harness.ledger.attempts.list(harness.only_run().id)
    assert (row.status, row.error) == ("running", None)

    await attempt(run, "prd", 1, Summary, Worker(), inputs=inputs())
    (row,) = harness.ledger.attempts.list(harness.only_run().id)
    assert (row.number, row.status) == (1, "finished")


async def test_a_person_who_cancels_does_not_wait_for_the_work(harness: LifecycleHarness, run: RunContext) -> None:
    """An agent that ran on for an hour after `phasegate cancel` would go on spending."""

    async def works_for_an_hour(row: Attempt) -> Summary | None:
        harness.ledger.runs.ask(row.run_id, "cancel", actor="ana")
        await asyncio.sleep(3600)
        return Summary(text="never")

    async with asyncio.timeout(30):
        with pytest.raises(CancelRequested):
            await attempt(run, "prd", 1, Summary, works_for_an_hour, inputs=inputs())
    (row,) = harness.ledger.attempts.list(harness.only_run().id)
    assert row.artifact is None


async def test_a_secret_in_an_artifact_is_masked_before_it_is_stored(
    harness: LifecycleHarness, run: RunContext
) -> None:
    """Artifacts are shown to people and models, and exported: a key that an agent found must not be among them."""
    summary = await attempt(run, "prd", 1, Summary, Worker(f"The key is {KEY}"), inputs=inputs())
    assert KEY not in summary.text
    assert summary.text.startswith("The key is ")
    assert KEY not in harness.ledger.artifacts.text(summary.digest)
