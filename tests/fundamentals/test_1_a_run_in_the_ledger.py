"""Read this first: a run's life as the ledger sees it, without engine, agents or Prefect.

A run is accepted. A stage is attempted, once. A gate opens on exactly what came out, and a person decides. An effect is
written down before it is made. At the end, the trail can be checked by anybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from phasegate.flows.runs.inputs import StoredPolicy
from phasegate.infra.artifacts import Artifact
from phasegate.infra.errors import NotAllowed
from phasegate.infra.identity import Person
from phasegate.infra.ledger import Ledger, Run, RunOptions
from phasegate.infra.policy.model import LifecyclePolicy, Policy


class Note(Artifact):
    """Artifacts are frozen records, stored under the digest of what they say."""

    kind: ClassVar[str] = "note"
    text: str


POLICY = Policy(lifecycle=LifecyclePolicy(stages=("prd", "implementation", "testing")))
"""Policy at the base commit: it says who may decide at a gate."""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger is one database; SQLite unless told otherwise."""
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger
    ledger.close()


@pytest.fixture
def run(ledger: Ledger) -> Run:
    """Once `accept` returns, the run is durable: whatever dies now, it will be carried on."""
    return ledger.runs.accept(
        "run-one",
        title="Greet politely",
        ticket=Note(text="Please greet politely"),
        policy=StoredPolicy(policy=POLICY),
        repository="/srv/greeter",
        base_branch="main",
        base_commit="c0ffee",
        requester="ana",
        options=RunOptions(),
        definition="1",
    )


def test_equal_artifacts_have_equal_digests() -> None:
    assert Note(text="x").digest == Note(text="x").digest != Note(text="y").digest


def test_a_finished_stage_is_never_attempted_again(ledger: Ledger, run: Run) -> None:
    asked = {"inputs": {"ticket": run.ticket}, "model": "openai:m", "prompt": "sha256:p", "holder": "here/engine"}
    attempt, lease = ledger.attempts.begin(run.id, "prd", "", 1, **asked)  # type: ignore[arg-type]  # spelled once
    assert lease is not None, "there is work to do, and we hold the right to do it"
    ledger.attempts.finish(attempt, lease, Note(text="the PRD"))

    again, lease = ledger.attempts.begin(run.id, "prd", "", 1, **asked)  # type: ignore[arg-type]  # as above
    assert lease is None, "nothing to do"
    assert ledger.artifacts.get(again.artifact or "", Note) == Note(text="the PRD")


def test_a_gate_asks_about_one_set_of_digests_and_is_decided_once(ledger: Ledger, run: Run) -> None:
    subject = {"prd": Note(text="the PRD").digest}
    gate = ledger.gates.open(run, "prd", 1, subject=subject)
    assert ledger.runs.get(run.id).status == "waiting"
    assert ledger.gates.effective_decision(gate, subject) is None

    ledger.gates.decide(gate.id, "approve", Person("bo", "local"), note="go")
    decided = ledger.gates.get(gate.id)
    ruling = ledger.gates.effective_decision(decided, subject)
    assert ruling is not None
    assert (ruling.verdict, ruling.approver, ruling.note) == ("approve", "bo", "go")

    assert ledger.gates.effective_decision(decided, {"prd": Note(text="another PRD").digest}) is None
    with pytest.raises(NotAllowed):
        ledger.gates.decide(gate.id, "reject", Person("cy", "local"))


def test_an_effect_is_on_disk_before_it_is_made_and_found_afterwards(ledger: Ledger, run: Run) -> None:
    key = f"{run.id}/merge"
    effect = ledger.effects.intend(run.id, "merge", key, intent={"branch": "main"}, compensation="revert the merge")
    assert effect.status == "intended"
    ledger.effects.done(effect, {"commit": "abc"})
    # after a crash, the same line runs again and finds it
    found = ledger.effects.intend(run.id, "merge", key, intent={"branch": "main"}, compensation="revert the merge")
    assert (found.status, found.result) == ("done", {"commit": "abc"})
    assert ledger.effects.undone(found, {"commit": "def"}).status == "undone"


def test_every_change_left_one_event_and_the_trail_can_be_checked(ledger: Ledger, run: Run) -> None:
    ledger.runs.set_status(run.id, "running")
    ledger.runs.set_status(run.id, "done")
    assert [event.kind for event in ledger.events(run.id)] == ["run.accepted", "run.running", "run.done"]
    assert ledger.audit(run.id).head == ledger.events(run.id)[-1].hash
