"""Going back to a run, as a person with only the command line sees it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.acceptance.lifecycle.conftest import Machine, Project, git, script
from tests.acceptance.lifecycle.test_lifecycle import approve_until_it_ends, fetch, start


def turns_of(machine: Machine, run: str) -> dict[str, int]:
    """Model calls per attempt, as the ledger has them."""
    ledger = machine.ledger()
    try:
        made = [exchange.attempt_id.removeprefix(f"{run}/") for exchange in ledger.exchanges.list(run)]
    finally:
        ledger.close()
    return {name: made.count(name) for name in made}


def kinds_of(machine: Machine, run: str) -> list[str]:
    """The kinds of a run's events."""
    ledger = machine.ledger()
    try:
        return [event.kind for event in ledger.events(run)]
    finally:
        ledger.close()


def replay(machine: Machine, *arguments: str) -> dict[str, Any]:
    """`phasegate replay --json` up to its first stop."""
    result = machine.phasegate("replay", *arguments, "--json")
    assert result.code in {0, 3}, result.err + result.out
    shown: dict[str, Any] = result.json
    return shown


@pytest.fixture
def failed(machine: Machine, project: Project) -> str:
    """A run whose tests' author departs from the script, after the PRD was approved and the change made."""
    broken = [{"expect": "no such words", "finish": {"files": []}}]
    run = start(machine, project, script(testing=broken, testing_2=script()["stages"]["testing"]), "--approve", "prd")
    shown = machine.until(run, lambda shown: shown["status"] == "failed")
    assert shown["reason"]["code"] == "rehearsal"
    return run


def test_rehearsing_a_finished_run_says_same_and_performs_nothing(machine: Machine, project: Project) -> None:
    run = start(machine, project, script())
    assert approve_until_it_ends(machine, run)["status"] == "done"
    served = machine.phasegate("status", "--json").json["services"]
    branches = git(project.top, "for-each-ref", "refs/heads/phasegate/main", "refs/heads/main")

    result = machine.phasegate("replay", run, "--rehearse", "--json")

    assert result.code == 0, result.out + result.err + machine.phasegate("logs", "latest").out
    assert (result.json["verdict"], result.json["turns"]) == ("same", 10)
    rehearsal = result.json["run"]
    assert machine.show(rehearsal)["effects"] == []
    assert machine.show(rehearsal)["gates"] == []
    kinds = kinds_of(machine, rehearsal)
    assert (kinds.count("effect.rehearsed"), kinds.count("gate.rehearsed")) == (3, 3)
    assert machine.phasegate("status", "--json").json["services"] == served
    assert git(project.top, "for-each-ref", "refs/heads/phasegate/main", "refs/heads/main") == branches
    assert machine.phasegate("audit", rehearsal).code == 0
