"""Going back to a run, as a person with only the command line sees it."""

from __future__ import annotations

from tests.acceptance.lifecycle.conftest import Machine, Project, git, script
from tests.acceptance.lifecycle.test_lifecycle import approve_until_it_ends, start


def kinds_of(machine: Machine, run: str) -> list[str]:
    """The kinds of a run's events."""
    ledger = machine.ledger()
    try:
        return [event.kind for event in ledger.events(run)]
    finally:
        ledger.close()


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
