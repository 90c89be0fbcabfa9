"""P1: Prefect's database may go; the flow runs are made again from the ledger."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.acceptance.lifecycle.conftest import Project
from tests.integration.recovery.conftest import small_script
from tests.machine import Machine


@pytest.mark.timeout(1800)
def test_a_run_that_waits_outlives_prefects_database(tmp_path: Path, project: Project) -> None:
    """P1. Mutation tried: `_schedule` returns where Prefect does not know the flow run."""
    machine = Machine(tmp_path / "home", {"PHASEGATE_HOT_GATE": "0s"})
    try:
        script = project.script(small_script())
        order = ("run", project.ticket, "--repo", project.top, "--rehearse", script, "--detach", "--json")
        started = machine.phasegate(*order, timeout=280)
        assert started.code == 0, started.err
        run: str = started.json["id"]
        machine.until(run, lambda shown: shown["status"] == "waiting", seconds=120)
        assert machine.phasegate("down").code == 0
        shutil.rmtree(machine.home / "prefect")
        assert machine.phasegate("up", "--detach", timeout=280).code == 0
        assert machine.phasegate("approve", run).code == 0
        machine.until(run, lambda shown: [gate["gate"] for gate in shown["gates"]] == ["prd", "change"])
        assert machine.phasegate("approve", run).code == 0
        assert machine.until(run, lambda shown: shown["status"] not in {"running", "waiting"})["status"] == "done"
        ledger = machine.ledger()
        kinds = [event.kind for event in ledger.events(run)]
        ledger.close()
        assert kinds.count("attempt.started") == kinds.count("attempt.finished") == 2
        assert kinds.count("run.recovered") == 0, "`down` is no interruption"
        assert kinds.count("run.dispatched") == 2
    finally:
        machine.phasegate("down", "--services")
