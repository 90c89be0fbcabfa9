"""Going back to a run, as a person with only the command line sees it; a provider counts what it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.lifecycle.conftest import POLICY, Project, git, script
from tests.acceptance.lifecycle.test_lifecycle import approve_until_it_ends
from tests.acceptance.replay.conftest import Provider
from tests.machine import Machine

from phasegate.infra.ledger import Event

pytestmark = pytest.mark.timeout(900)  # a run up to where it fails, and another to its end

MODEL = "openai:gpt-5.3-codex"
GATES = ("--approve", "prd", "--approve", "change", "--approve", "release")


def started(machine: Machine, project: Project, *more: str, code: int) -> str:
    """Run the ticket up to its first stop, and give its id."""
    result = machine.phasegate(
        "run", project.ticket, "--repo", project.top, "--model", MODEL, "--json", *more, timeout=250
    )
    assert result.code == code, result.err + result.out
    run: str = result.json["id"]
    return run


def events(machine: Machine, run: str) -> list[Event]:
    ledger = machine.ledger()
    try:
        return ledger.events(run)
    finally:
        ledger.close()


def gates(shown: dict[str, Any]) -> list[tuple[str, str]]:
    return [(gate["gate"], gate["status"]) for gate in shown["gates"]]


@pytest.fixture
def failed(machine: Machine, project: Project, provider: Provider) -> str:
    """A run whose tests could not be written, approved by a person at gate `prd`; the provider is well again."""
    provider.refused = {"testing": 1}
    run = started(machine, project, code=3)
    approved = machine.phasegate("approve", run, "--wait", "--json")
    assert (approved.code, approved.json["status"]) == (1, "failed"), approved.out + approved.err
    assert provider.stages() == {"prd", "implementation"}
    provider.reset()
    return run


def test_a_replay_from_testing_calls_no_model_for_prd_and_implementation(
    machine: Machine, provider: Provider, failed: str
) -> None:
    """Untried mutation: `adopted` gives None always; the provider was asked for every stage."""
    replayed = machine.phasegate("replay", failed, "--from", "testing", "--json")

    assert replayed.code == 3, replayed.err + replayed.out
    assert provider.stages() == {"testing"}
    assert gates(replayed.json) == [("prd", "approved"), ("change", "open")]
    run = replayed.json["id"]
    head = " ".join(machine.phasegate("show", run).out.split())
    assert f"replays run {failed} from testing on, and adopts prd, implementation, the answer at gate prd" in head
    assert approve_until_it_ends(machine, run)["status"] == "done"
    assert provider.stages() == {"testing", "deployment"}
    ledger = machine.ledger()
    asked = {one.attempt_id for one in ledger.exchanges.list(run)}
    ledger.close()
    assert asked == {f"{run}/testing.authoring/1", f"{run}/deployment.plan/1"}
    audited = machine.phasegate("audit", run, "--json")
    assert (audited.code, audited.json["replayed"]) == (0, [failed])


def test_a_replay_asks_another_model_for_what_is_done_again(machine: Machine, provider: Provider, failed: str) -> None:
    """Untried mutation: `replay` passing the old run's model on."""
    replayed = machine.phasegate("replay", failed, "--from", "testing", "--model", "openai:gpt-5.4", "--json")
    assert replayed.code == 3, replayed.err + replayed.out
    assert provider.models == {"testing": {"gpt-5.4"}}
    machine.phasegate("cancel", replayed.json["id"], "--wait")


def test_a_replay_by_the_policy_of_today_asks_people_anew(
    machine: Machine, project: Project, provider: Provider, failed: str
) -> None:
    """P4: an approval is of artifacts and policy both. Untried mutation: the policy's digest left out of a subject."""
    (project.top / "phasegate.toml").write_text(POLICY + "[gates.prd]\nexpires = '3h'\n")
    git(project.top, "commit", "-q", "-a", "-m", "Give the PRD three hours")
    replayed = machine.phasegate("replay", failed, "--from", "testing", "--repo-policy", "--json")
    assert replayed.code == 3, replayed.err + replayed.out
    assert gates(replayed.json) == [("prd", "open")]
    assert provider.stages() == set()
    machine.phasegate("cancel", replayed.json["id"], "--wait")


def test_a_repository_that_has_moved_is_named(
    machine: Machine, project: Project, provider: Provider, failed: str, tmp_path: Path
) -> None:
    moved = project.top.rename(tmp_path / "moved")
    gone = machine.phasegate("replay", failed)
    assert (gone.code, "--repo" in gone.err) == (2, True), gone.err
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", str(other))
    git(other, "commit", "-q", "--allow-empty", "-m", "first")
    wrong = machine.phasegate("replay", failed, "--repo", other)
    assert (wrong.code, "does not have commit" in wrong.err) == (2, True), wrong.err
    replayed = machine.phasegate("replay", failed, "--repo", moved, "--json")
    assert replayed.code == 3, replayed.err + replayed.out
    assert replayed.json["repository"] == str(moved)
    assert provider.stages() == {"testing"}
    machine.phasegate("cancel", replayed.json["id"], "--wait")


def test_a_failed_stage_is_resumed_from_its_last_turn(machine: Machine, project: Project, provider: Provider) -> None:
    """P2. Untried mutation: `run_loop` beginning every attempt from its first turn; first turns were asked twice.

    The agent that wrote tests meanwhile was left with a call under way, which may be asked again.
    """
    provider.refused = {"implementation": 4}
    run = started(machine, project, "--approve", "prd", code=1)
    assert {turn for stage, turn in provider.asked if stage == "implementation"} == {1, 2, 3}
    assert machine.phasegate("resume", run, "--wait").code == 1  # still out of service
    provider.refused = {}

    resumed = machine.phasegate("resume", run, "--wait", "--json")

    assert (resumed.code, gates(resumed.json)[-1]) == (3, ("change", "open")), resumed.err + resumed.out
    asked = {at: times for at, times in provider.asked.items() if at[0] != "testing"}
    assert asked == {("prd", 1): 1, ("prd", 2): 1, **{("implementation", turn): 1 for turn in range(1, 6)}}
    assert machine.phasegate("audit", run).code == 0
    machine.phasegate("cancel", run, "--wait")


def test_rehearsing_a_finished_run_says_same_and_performs_nothing(
    machine: Machine, project: Project, provider: Provider
) -> None:
    """Untried mutation: `perform` intending effects in a rehearsal, too."""
    run = started(machine, project, *GATES, code=0)
    served = machine.phasegate("status", "--json").json["services"]
    refs = git(project.top, "for-each-ref", "refs/heads/phasegate/main", "refs/heads/main")
    provider.asked.clear()

    result = machine.phasegate("replay", run, "--rehearse", "--json")

    assert result.code == 0, result.out + result.err + machine.phasegate("runs").out
    assert (result.json["verdict"], result.json["turns"]) == ("same", 10)
    assert provider.stages() == set()
    rehearsal = machine.show(result.json["run"])
    assert (rehearsal["effects"], rehearsal["gates"]) == ([], [])
    kinds = [event.kind for event in events(machine, result.json["run"])]
    assert (kinds.count("effect.rehearsed"), kinds.count("gate.rehearsed")) == (3, 3)
    assert machine.phasegate("status", "--json").json["services"] == served
    assert git(project.top, "for-each-ref", "refs/heads/phasegate/main", "refs/heads/main") == refs
    assert machine.phasegate("audit", result.json["run"]).code == 0


def test_a_rehearsal_names_the_turn_at_which_the_world_answers_otherwise(
    machine: Machine, project: Project, provider: Provider
) -> None:
    turns = script()["stages"]["implementation"]
    told = {"tools": [{"name": "run", "args": {"command": "date +%s%N; echo stamped"}}]}
    provider.content = script(implementation=[*turns[:3], told, turns[3], turns[4]])
    run = started(machine, project, *GATES, code=0)

    result = machine.phasegate("replay", run, "--rehearse")

    assert result.code == 1, result.out + result.err
    assert "departed at implementation, turn 5: the request is another" in result.out
    assert "+++ rehearsed" in result.out
    assert "stamped" in result.out
