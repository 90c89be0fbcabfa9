"""Read this fourth: a gate, the point at which a run waits for a person.

A stage makes a product, and a gate asks a person about it. The answer is `approve`, `revise` with a note, or `reject`.
A decision names the digests of the product and of the policy, and holds for nothing else. The run believes decisions
in the ledger alone, and checks each again whenever it passes. Policy says who may decide, how many, and by when.
The loop around a stage is `produce_until_approved` in `flows/phasegate/flows/lifecycle/gates/gates.py`; who may decide
is checked in `infra/phasegate/infra/ledger/gates/`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from tests.support.greeter import NO_ERRORS, POLICY, write_greeter
from tests.support.lifecycle import LifecycleHarness, open_lifecycle
from tests.support.people import People, decide

from phasegate.flows.engine.executor import InProcessExecutor
from phasegate.flows.lifecycle.attempts import attempt
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.gates.gates import Round, produce_until_approved
from phasegate.flows.lifecycle.signals import Rejected
from phasegate.infra.artifacts import Artifact, sha256
from phasegate.infra.errors import NotAllowed
from phasegate.infra.identity import Person
from phasegate.infra.ledger import Attempt, Gate, Ledger

ANA, BO, CY = (Person(name, "local") for name in ("ana", "bo", "cy"))
"""Ana asked for the run."""


class Summary(Artifact):
    """Product of the stage in these tests."""

    kind: ClassVar[str] = "summary"
    text: str


@dataclass
class Drafting:
    """Stage that drafts one summary per round, as an attempt of its own; `rounds` notes why each was asked for."""

    texts: list[str] = field(default_factory=lambda: ["first draft", "second draft"])
    rounds: list[Round] = field(default_factory=list[Round])

    async def __call__(self, run: RunContext, round_: Round) -> Summary:
        self.rounds.append(round_)
        text = self.texts[round_.number - 1]

        async def work(row: Attempt) -> Summary:
            return Summary(text=text)

        return await attempt(run, "prd", round_.number, Summary, work, inputs={"text": sha256(text)})


@pytest.fixture
def policy() -> str:
    """Lines that a test adds to `phasegate.toml`."""
    return ""


@pytest.fixture
async def harness(tmp_path: Path, policy: str) -> AsyncGenerator[LifecycleHarness]:
    """A repository with a policy, a ledger, and an engine's resources."""
    write_greeter(tmp_path, policy=POLICY + NO_ERRORS + policy)
    async with open_lifecycle(tmp_path) as harness:
        yield harness


@pytest.fixture
def run(harness: LifecycleHarness) -> RunContext:
    """A run that Ana asked for, as its stages see it."""
    return harness.context(harness.kick_off())


async def test_a_run_waits_at_a_gate_until_a_person_has_decided(harness: LifecycleHarness, run: RunContext) -> None:
    """Nothing goes on behind a person's back, and nobody waits longer than for the person."""
    run.executor = executor = InProcessExecutor()
    waiting = asyncio.create_task(produce_until_approved(run, "prd", Drafting()))
    async with asyncio.timeout(30):
        while not executor.wakeups.subscriber_count:  # noqa: ASYNC110  the ledger has no event to wait for
            await asyncio.sleep(0.01)
    accepted = harness.only_run()
    (gate,) = harness.ledger.gates.waiting(accepted.id)
    assert accepted.status == "waiting"
    assert gate.subject == {"summary": Summary(text="first draft").digest, "policy": accepted.policy}

    harness.ledger.gates.decide(gate.id, "approve", BO)
    executor.wakeups.notify(accepted.id)

    assert await waiting == Summary(text="first draft")
    assert harness.only_run().status == "running"


async def test_a_later_pass_asks_nobody_again(harness: LifecycleHarness, run: RunContext) -> None:
    """A person who was asked the same after each restart would soon approve without reading."""
    people, drafting = People(harness.ledger, decide("approve", BO)), Drafting()
    run.executor = people
    first = await produce_until_approved(run, "prd", drafting)
    assert await produce_until_approved(run, "prd", drafting) == first
    assert len(people.asked) == 1


async def test_a_person_who_says_revise_gets_another_draft_made_from_the_note(
    harness: LifecycleHarness, run: RunContext
) -> None:
    """The next round has the note and the product that it is about, and is a question of its own."""
    run.executor = people = People(harness.ledger, decide("revise", BO, "shorter, please"), decide("approve", BO))
    drafting = Drafting()
    assert await produce_until_approved(run, "prd", drafting) == Summary(text="second draft")
    assert (drafting.rounds[1].note, drafting.rounds[1].previous) == ("shorter, please", Summary(text="first draft"))
    assert [gate.number for gate in people.asked] == [1, 2]


async def test_a_person_who_says_reject_ends_the_run(harness: LifecycleHarness, run: RunContext) -> None:
    """The pipeline is left by a signal, so no later stage can come to work on what was rejected."""
    run.executor = People(harness.ledger, decide("reject", BO, "not this year"))
    with pytest.raises(Rejected) as rejected:
        await produce_until_approved(run, "prd", Drafting())
    assert (rejected.value.decision.approver, rejected.value.decision.note) == ("bo", "not this year")


async def test_an_approval_holds_for_the_product_that_was_shown_and_no_other(
    harness: LifecycleHarness, run: RunContext
) -> None:
    """Otherwise an approved draft could be exchanged for another one after the fact."""
    people = People(harness.ledger, decide("approve", BO), decide("approve", BO))
    run.executor = people
    await produce_until_approved(run, "prd", Drafting(["as Bo read it"]))
    await produce_until_approved(run, "prd", Drafting(["as it was changed afterwards"]))
    assert [gate.subject["summary"] for gate in people.asked] == [
        Summary(text="as Bo read it").digest,
        Summary(text="as it was changed afterwards").digest,
    ]


async def test_a_gate_that_is_marked_approved_by_hand_stays_closed(harness: LifecycleHarness, run: RunContext) -> None:
    """The status of a gate's row decides nothing: whoever can write to the database cannot approve by that alone."""

    def write_to_the_database(ledger: Ledger, gate: Gate) -> None:
        with sqlite3.connect(harness.shared.settings.database_url.removeprefix("sqlite:///")) as database:
            database.execute("UPDATE gates SET status = 'approved' WHERE id = ?", (gate.id,))
        database.close()

    people = People(harness.ledger, write_to_the_database, decide("approve", BO))
    run.executor = people
    await produce_until_approved(run, "prd", Drafting())
    assert len(people.asked) == 2, "the run asked again"
    kinds = [event.kind for event in harness.ledger.events(harness.only_run().id)]
    assert "gate.refused" in kinds, "and the trail says so"


@pytest.mark.parametrize("policy", ["[gates.prd]\nquorum = 2\nexclude_requester = true\n"])
async def test_policy_says_who_decides_and_how_many(harness: LifecycleHarness, run: RunContext) -> None:
    """Four eyes: Ana may not approve what she asked for, and Bo cannot do it alone."""

    def ana_tries(ledger: Ledger, gate: Gate) -> None:
        with pytest.raises(NotAllowed):
            ledger.gates.decide(gate.id, "approve", ANA)

    def bo_tries_twice(ledger: Ledger, gate: Gate) -> None:
        ledger.gates.decide(gate.id, "approve", BO)
        with pytest.raises(NotAllowed, match="has decided gate prd already"):
            ledger.gates.decide(gate.id, "approve", BO)

    people = People(harness.ledger, ana_tries, bo_tries_twice, decide("approve", CY))
    run.executor = people
    await produce_until_approved(run, "prd", Drafting())
    assert not people.answers, "the run has waited for Cy, too"


@pytest.mark.parametrize("policy", ["[gates.prd]\nexpires = '1s'\n"])
async def test_an_answer_that_comes_too_late_does_not_count(harness: LifecycleHarness, run: RunContext) -> None:
    """An approval from last week is about last week's world: the gate opens anew, and asks again."""

    def answers_late(ledger: Ledger, gate: Gate) -> None:
        while not ledger.gates.has_expired(gate):
            time.sleep(0.01)
        with pytest.raises(NotAllowed, match="expired"):
            ledger.gates.decide(gate.id, "approve", BO)

    people = People(harness.ledger, answers_late, decide("approve", BO))
    run.executor = people
    await produce_until_approved(run, "prd", Drafting())
    first, second = people.asked
    assert first.id != second.id
    assert harness.ledger.gates.get(first.id).status == "expired"


@pytest.mark.parametrize("policy", ["[gates.prd]\noff = true\nreason = 'tickets are approved in the tracker'\n"])
async def test_a_gate_that_policy_has_off_is_passed_with_its_reason_on_record(
    harness: LifecycleHarness, run: RunContext
) -> None:
    """An auditor sees that nobody was asked, and why."""
    run.executor = People(harness.ledger)
    assert await produce_until_approved(run, "prd", Drafting()) == Summary(text="first draft")
    (skipped,) = harness.ledger.events(harness.only_run().id, kinds=("gate.skipped",))
    assert (skipped.payload["gate"], skipped.payload["reason"]) == ("prd", "tickets are approved in the tracker")


@dataclass
class BranchIsAt:
    """Condition in the world that a product was made for: the head of a branch."""

    head: list[str]
    made_for: str
    kind: str = "branch"

    @property
    def digest(self) -> str:
        return sha256(self.made_for)

    async def violation(self, run: RunContext) -> str:
        return "" if self.head[-1] == self.made_for else f"the branch is at {self.head[-1]} now."


async def test_an_approval_for_a_world_that_has_changed_is_asked_for_again(
    harness: LifecycleHarness, run: RunContext
) -> None:
    """A plan for yesterday's branch is void today, even if Bo approved it just before somebody pushed."""
    head, drafting = ["one"], Drafting()

    async def plan(run: RunContext, round_: Round) -> tuple[Summary, BranchIsAt]:
        return await drafting(run, round_), BranchIsAt(head, made_for=head[-1])

    def somebody_pushes(ledger: Ledger, gate: Gate) -> None:
        decide("approve", BO)(ledger, gate)
        head.append("two")

    people = People(harness.ledger, somebody_pushes, decide("approve", BO))
    run.executor = people
    summary, branch = await produce_until_approved(run, "prd", plan)
    assert (summary.text, branch.made_for) == ("second draft", "two")
    assert drafting.rounds[1].note == "the branch is at two now."
    assert harness.ledger.gates.get(people.asked[0].id).status == "outdated"
