"""Read this ninth: three ways to use the record of a run once more, besides continuing it.

A replay is a new run that begins at a stage: it adopts what an earlier run finished before that stage. A rewind puts
a run back to one of its checkpoints: effects, files, the agent's conversation and decisions go back together. A
rehearsal is a new run that answers each question from an earlier run's record and performs nothing. It tells whether
the run would go the same way with today's code and prompts.
Requests are checked in `flows/phasegate/flows/runs/replay.py` and `checkpoints.py`. They are carried out by
`flows/phasegate/flows/lifecycle/replay/` and `rewind.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from tests.support.greeter import NO_ERRORS, POLICY, calls, edit, write_greeter
from tests.support.lifecycle import LifecycleHarness, open_lifecycle
from tests.support.repositories import git

from phasegate.agents.stage import StageAgent
from phasegate.flows.runs.checkpoints import Checkpoint, checkpoints, request_rewind
from phasegate.infra.errors import ConfigError, NotAllowed
from phasegate.infra.ledger import Run

UNTIL_MERGED = '[lifecycle]\nstages = ["prd", "implementation"]\n'
"""Policy that ends a run with the merge of the change."""
GOOD = calls("write_file", path="notes.txt", content="a good idea\n")
BAD = calls("write_file", path="notes.txt", content="a bad idea\n")
FINISH = {"finish": {"summary": "Say Good day"}}
STAGES = {
    "implementation": [GOOD, BAD, edit("Hello", "Good day"), FINISH],
    "implementation#2": [GOOD, edit("Hello", "Good day"), FINISH],
}
"""The agent has a bad idea in its second turn; in a second attempt, after its first turn, it has not."""


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncGenerator[LifecycleHarness]:
    """A repository, a ledger, an engine's resources, and a person who approves at each gate."""
    write_greeter(tmp_path, policy=POLICY + NO_ERRORS + UNTIL_MERGED, stages=STAGES)
    async with open_lifecycle(tmp_path) as harness:
        yield harness


async def done(harness: LifecycleHarness) -> Run:
    """A run that has merged its change."""
    run = await harness.run()
    assert run.status == "done", run.reason
    return run


async def failed_in_implementation(harness: LifecycleHarness) -> Run:
    """A run whose PRD is approved, and whose provider refused the first request of the next stage."""
    harness.refused = {"implementation/1": 1}
    run = await harness.run()
    assert run.status == "failed", run.reason
    harness.refused = {}
    return run


def merged(harness: LifecycleHarness, name: str) -> str:
    """Content of a file as it was merged."""
    return git(harness.folder / "greeter", "show", f"phasegate/main:{name}")


def after_first_turn(harness: LifecycleHarness, run: Run) -> Checkpoint:
    """The checkpoint at the end of the change's first turn."""
    return next(one for one in checkpoints(harness.ledger, run) if (one.kind, one.turn) == ("turn", 1))


async def test_a_replay_adopts_what_is_finished_and_pays_for_the_rest_only(harness: LifecycleHarness) -> None:
    """A run failed late, and the cause is mended: nobody wants to pay for its first hours again."""
    failed = await failed_in_implementation(harness)
    again = await harness.again(failed, "implementation")
    assert again.status == "done", again.reason
    assert set(harness.turns(again)) == {"implementation/1"}
    prd, change = harness.ledger.attempts.list(again.id)
    assert (prd.stage, prd.origin) == ("prd", f"{failed.id}/prd/1")
    assert (change.stage, change.origin) == ("implementation", "")


async def test_a_replay_asks_no_person_twice_about_the_same(harness: LifecycleHarness) -> None:
    """The decision stays where it was made, in the earlier run, and is checked there."""
    failed = await failed_in_implementation(harness)
    asked_before = len(harness.gates)
    again = await harness.again(failed, "implementation")
    assert [key.split(":")[1] for key in harness.gates[asked_before:]] == ["change"]
    (carried,) = harness.ledger.events(again.id, kinds=("gate.carried",))
    assert carried.payload["verdict"] == "approve"


async def test_a_replay_leaves_the_earlier_run_as_it_was(harness: LifecycleHarness) -> None:
    """A trail that grew afterwards would no longer be the trail that somebody has signed or exported."""
    failed = await failed_in_implementation(harness)
    before = harness.ledger.audit(failed.id)
    await harness.again(failed, "implementation")
    assert harness.ledger.audit(failed.id) == before


async def test_a_change_is_taken_out_before_it_is_made_again(harness: LifecycleHarness) -> None:
    """Two merges of the same change by two runs could not be told apart, nor undone one by one."""
    run = await done(harness)
    with pytest.raises(ConfigError, match="is still in main") as refused:
        harness.accept(run, "implementation")
    assert f"phasegate rollback {run.id}" in refused.value.remedy
    assert harness.ledger.runs.list() == [run], "nothing was written"


async def test_a_rewind_puts_effects_files_conversation_and_decisions_back_together(harness: LifecycleHarness) -> None:
    """Files without the conversation that led to them, or an approval without its change, would be of no use."""
    run = await done(harness)
    assert merged(harness, "notes.txt") == "a bad idea"
    harness.asked.clear()

    request_rewind(harness.ledger, run, after_first_turn(harness, run).id, actor="ana")
    run = await harness.carry(run)

    assert run.status == "done", run.reason
    assert merged(harness, "notes.txt") == "a good idea"
    assert [(one.kind, one.status) for one in harness.ledger.effects.list(run.id)] == [
        ("merge", "undone"),
        ("merge", "done"),
    ]
    assert [(one.gate, one.status) for one in harness.ledger.gates.list(run.id)] == [
        ("prd", "approved"),
        ("change", "void"),
        ("change", "approved"),
    ]
    assert harness.turns(run) == {"implementation/2": 2}, "the first turn is kept, the others are asked for anew"
    harness.ledger.audit(run.id)


async def test_a_rewind_keeps_what_it_puts_aside(harness: LifecycleHarness) -> None:
    """A person may have been wrong about the bad idea, too."""
    run = await done(harness)
    request_rewind(harness.ledger, run, after_first_turn(harness, run).id, actor="ana")
    await harness.carry(run)
    kept = f"refs/phasegate/{run.id}/rewound/1/branch:notes.txt"
    assert git(harness.folder / "greeter", "show", kept) == "a bad idea"


async def test_there_is_no_rewind_over_an_effect_that_cannot_be_undone(harness: LifecycleHarness) -> None:
    """The request is refused at once, before anything else is undone."""
    run = await done(harness)
    pivot = harness.ledger.effects.intend(
        run.id, "migrate", f"{run.id}/migrate", intent={}, compensation="restore a copy", effect_class="pivot"
    )
    harness.ledger.effects.done(pivot, {})
    with pytest.raises(NotAllowed, match="cannot be undone"):
        request_rewind(harness.ledger, run, 1, actor="ana")
    assert harness.only_run().request == ""
    assert merged(harness, "greeting.txt") == "Good day"


async def test_a_rehearsal_says_same_and_changes_nothing_in_the_world(harness: LifecycleHarness) -> None:
    """It is safe to rehearse a run that has released to production."""
    run = await done(harness)
    branches = git(harness.folder / "greeter", "for-each-ref", "refs/heads")
    asked_before = len(harness.gates)

    rehearsal = await harness.again(run, rehearse=True)

    assert (rehearsal.status, (rehearsal.reason or {})["code"]) == ("done", "same")
    assert harness.ledger.effects.list(rehearsal.id) == []
    assert len(harness.gates) == asked_before, "nobody was asked"
    heads = git(harness.folder / "greeter", "for-each-ref", "refs/heads").splitlines()
    assert [line for line in heads if rehearsal.id not in line] == branches.splitlines()


async def test_a_rehearsal_names_the_first_turn_that_would_go_another_way(
    harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has edited a prompt: the rehearsal tells which agent would have been asked something else, and how."""
    run = await done(harness)
    monkeypatch.setattr(StageAgent, "prompt", property(lambda agent: f"You are the agent of {agent.stage}. Be brief."))

    rehearsal = await harness.again(run, rehearse=True)

    assert (rehearsal.status, (rehearsal.reason or {})["code"]) == ("failed", "rehearsal")
    (departed,) = harness.ledger.events(rehearsal.id, kinds=("rehearsal.departed",))
    assert (departed.payload["attempt"], departed.payload["turn"]) == (f"{rehearsal.id}/prd/1", 1)
    assert "Be brief." in departed.payload["diff"]
