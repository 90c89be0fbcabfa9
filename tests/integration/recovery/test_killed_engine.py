"""kill -9 of what is really installed, Prefect and all: the engine in each stage, a person's command as it decides.

tests/crash does this at every point without Prefect; here are some of the points with everything that is real. An
engine that is to die is started as `phasegate up` starts it, but by the test: `up` would start another one at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.acceptance.lifecycle.conftest import APP, NEW, OLD, SIGNATURE, TEST, Project, edit, git, script
from tests.acceptance.lifecycle.conftest import POLICY as DEPLOYING
from tests.integration.recovery.conftest import small_script
from tests.machine import Machine

from phasegate.flows.runs.kickoff import KickoffRequest, kick_off
from phasegate.infra.crash_points import CRASH_AT
from phasegate.infra.identity import Person
from phasegate.infra.settings import Settings

KILLED = -9
PATIENCE_SECONDS = 120.0

IN_EVERY_STAGE = (
    "before:attempt.finished",  # prd
    "before:gate.decided",
    "after:turn.answered:2",  # implementation, with testing's authoring beside it
    "before:stage.step",  # testing's grading
    "after:make:merge",
    "after:make:cut-over",
    "before:attempt.finished:2",  # monitoring; deployment's is finished again before it
    "after:undo:cut-over",
    "after:undo:merge",
)
"""In the order in which one run comes to them; each engine counts from the start."""


@pytest.mark.timeout(1800)
def test_a_run_whose_engine_is_killed_at_a_gate_at_work_and_in_an_effect_ends_as_if_nothing_had_been(
    tmp_path: Path, project: Project
) -> None:
    """P1-P4, P13. Seen: killed before it had recorded an approval given in advance, the run waited for ever."""
    machine = Machine(tmp_path / "home")
    points = ("before:gate.decided", "after:turn.answered:2", "after:make:merge")
    try:
        run = _accepted(machine, project, small_script(), "prd", "change")
        for point in points:
            _live_until(machine, point)
        _end(machine, run, "done")
        kinds = _kinds(machine, run)
        assert (kinds["attempt.finished"], kinds["turn.answered"], kinds["gate.decided"]) == (2, 2 + 4, 2)
        assert (kinds["effect.intended"], kinds["effect.done"], kinds["run.recovered"]) == (1, 1, len(points))
        log = git(project.top, "log", "--format=%B", "main..phasegate/main", "--first-parent")
        assert log.count(f"Phasegate-Effect: {run}/merge\n") == 1
    finally:
        machine.phasegate("down", "--services")


@pytest.mark.timeout(1800)
def test_a_command_killed_as_it_decides_has_decided_or_has_not(tmp_path: Path, project: Project) -> None:
    """P1, P4. Killed after its write it wakes no engine, and the engine finds the decision all the same."""
    machine = Machine(tmp_path / "home")
    try:
        run = _accepted(machine, project, small_script())
        assert machine.phasegate("up", "--detach", timeout=240).code == 0
        machine.until(run, lambda shown: shown["status"] == "waiting", seconds=PATIENCE_SECONDS)
        assert _at(machine, "before:gate.decided").phasegate("approve", run).code == KILLED
        assert _kinds(machine, run)["gate.decided"] == 0
        assert machine.phasegate("approve", run).code == 0
        machine.until(run, lambda shown: [one["gate"] for one in shown["gates"]] == ["prd", "change"])
        assert _at(machine, "after:gate.decided").phasegate("approve", run).code == KILLED
        _end(machine, run, "done")
        kinds = _kinds(machine, run)
        assert (kinds["gate.opened"], kinds["gate.decided"], kinds["decision.refused"]) == (2, 2, 0)
    finally:
        machine.phasegate("down", "--services")


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_a_run_whose_engine_is_killed_in_every_stage_is_rolled_back_as_if_nothing_had_been(
    tmp_path: Path, project: Project
) -> None:
    """P1-P4, P6, P7, P13."""
    machine = Machine(tmp_path / "home")
    _let_it_deploy(project)
    broken = edit("app.py", "send_response(200)", 'send_response(200 if url.path == "/healthz" else 500)')
    turns = script(
        implementation=[SIGNATURE, edit("app.py", OLD, NEW), broken, {"finish": {"summary": "greet takes polite"}}],
        monitoring=[{"finish": {"summary": "It answers 500.", "suspected_hunk": "app.py"}}],
    )
    before = project.state()
    try:
        run = _accepted(machine, project, turns, "prd", "change", "release")
        for point in IN_EVERY_STAGE:
            _live_until(machine, point)
        _end(machine, run, "rolled-back")
        _went_as_if_nothing_had_been(machine, run)
        log = git(project.top, "log", "--format=%B", "main..phasegate/main", "--first-parent")
        assert (log.count(f"Phasegate-Effect: {run}/merge\n"), log.count(f"{run}/merge/undo")) == (1, 1)
        assert project.state() == before
    finally:
        machine.phasegate("down", "--services")


def _let_it_deploy(project: Project) -> None:
    """Make a service of the project, whose tests pass."""
    (project.top / "tests").mkdir()
    for name, text in {
        "app.py": APP,
        "conftest.py": "",
        "tests/test_app.py": TEST,
        "phasegate.toml": DEPLOYING,
    }.items():
        (project.top / name).write_text(text)
    git(project.top, "add", "-A")
    git(project.top, "commit", "-q", "-m", "It is a service")


def _went_as_if_nothing_had_been(machine: Machine, run: str) -> None:
    ledger = machine.ledger()
    events = ledger.events(run)
    finished = [
        event.payload["attempt"].removeprefix(f"{run}/") for event in events if event.kind == "attempt.finished"
    ]
    turns = [(one.attempt_id, one.turn) for one in ledger.exchanges.list(run)]
    effects = [(effect.kind, effect.status) for effect in ledger.effects.list(run)]
    decided = [one.gate_id for one in ledger.gates.decisions(run)]
    ledger.close()
    kinds = Counter(event.kind for event in events)
    assert sorted(finished) == [
        "deployment.plan/1",
        "deployment.release/1",
        "implementation/1",
        "monitoring.measuring/1",
        "monitoring.reading/1",
        "prd/1",
        "testing.authoring/1",
        "testing.grading/1",
    ]
    assert len(turns) == len(set(turns)) == kinds["turn.answered"] == 2 + 4 + 2 + 1 + 1
    assert effects == [("merge", "undone"), ("candidate", "undone"), ("cut-over", "undone")]
    assert kinds["effect.done"] == kinds["effect.undone"] == 3
    assert len(decided) == len(set(decided)) == 3
    assert kinds["run.recovered"] == len(IN_EVERY_STAGE)


def _accepted(machine: Machine, project: Project, turns: dict[str, object], *approve: str) -> str:
    """A run that no engine knows yet."""
    settings = Settings(home=machine.home)
    settings.create_folders()
    request = KickoffRequest(str(project.ticket), project.top, rehearsal=project.script(turns), approve=approve)
    ledger = machine.ledger()
    run = kick_off(
        request, ledger=ledger, settings=settings, person=Person("ana", "local"), environment={}, stdin=bytes
    )
    ledger.close()
    return run.id


def _at(machine: Machine, point: str) -> Machine:
    """The machine, on which what is started now dies at a point."""
    return Machine(machine.home, {**machine.environment, CRASH_AT: point})


def _live_until(machine: Machine, point: str) -> None:
    """Be an engine that dies at a point."""
    environment = {**os.environ, "PHASEGATE_HOME": str(machine.home), CRASH_AT: point}
    log = machine.home / "killed.log"
    with log.open("a") as output:
        command = [sys.executable, "-P", "-m", "phasegate.flows.engine"]
        engine = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        assert engine.wait(PATIENCE_SECONDS) == KILLED, log.read_text()[-2000:]
    except subprocess.TimeoutExpired:
        engine.terminate()
        engine.wait()
        raise AssertionError(f"{point} was not reached: {_last_events(machine)}\n{log.read_text()[-2000:]}") from None


def _last_events(machine: Machine) -> list[str]:
    ledger = machine.ledger()
    (run,) = ledger.runs.list()
    kinds = [event.kind for event in ledger.events(run.id)]
    ledger.close()
    return kinds[-12:]


def _end(machine: Machine, run: str, status: str) -> None:
    """Run the run to its end with an engine that is not killed."""
    assert machine.phasegate("up", "--detach", timeout=240).code == 0
    shown = machine.until(run, lambda shown: shown["status"] not in {"accepted", "running", "waiting"}, seconds=240)
    assert shown["status"] == status, shown["reason"]
    assert machine.phasegate("audit", run).code == 0


def _kinds(machine: Machine, run: str) -> Counter[str]:
    ledger = machine.ledger()
    found = Counter(event.kind for event in ledger.events(run))
    ledger.close()
    return found
