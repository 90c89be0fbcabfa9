"""P2, P9 and principle 5: `kill -9` of the engine is a normal day."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.acceptance.lifecycle.conftest import NEW, OLD, SIGNATURE, Project, edit, script
from tests.machine import Machine


@pytest.fixture
def own(tmp_path: Path) -> Machine:
    """A machine whose engine may die."""
    return Machine(tmp_path / "home")


def test_a_killed_engine_repeats_no_finished_stage_and_no_answered_turn(own: Machine, project: Project) -> None:
    implementation = [
        SIGNATURE,
        edit("app.py", OLD, NEW),
        {"tools": [{"name": "run", "args": {"command": "echo half > half.txt; sleep 4; echo done > half.txt"}}]},
        {"tools": [{"name": "run", "args": {"command": "cat half.txt; rm half.txt"}}]},
        {"expect": "done", "finish": {"summary": "polite"}},
    ]
    content = project.script(script(implementation=implementation))
    started = own.phasegate(
        "run", project.ticket, "--repo", project.top, "--rehearse", content, "--approve", "prd", "--detach", "--json"
    )
    assert started.code == 0, started.err
    run = started.json["id"]
    try:
        _wait_until_third_turn_is_answered(own, run)
        engine = json.loads((own.home / "engine.json").read_text())
        os.kill(engine["process"]["pid"], signal.SIGKILL)
        assert own.phasegate("up", "--detach").code == 0
        shown = own.stops(run)
        assert (shown["status"], shown["gates"][-1]["gate"]) == ("waiting", "change")
        kinds = _events(own, run)
        assert kinds["attempt.started run/prd/1"] == 1
        assert kinds["attempt.started run/implementation/1"] == 2
        assert max(count for kind, count in kinds.items() if kind.startswith("turn.answered")) == 1
        assert sum(count for kind, count in kinds.items() if kind.startswith("turn.answered run/implementation")) == 5
        assert own.phasegate("audit", run).code == 0
    finally:
        own.phasegate("down", "--services")


def _wait_until_third_turn_is_answered(own: Machine, run: str) -> None:
    deadline = time.monotonic() + 60
    while _events(own, run)["turn.answered run/implementation/1 3"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _events(own: Machine, run: str) -> Counter[str]:
    """Count of each kind of event, by attempt and turn."""
    ledger = own.ledger()
    said: Counter[str] = Counter()
    for event in ledger.events(run):
        attempt = str(event.payload.get("attempt", "")).replace(run, "run")
        said[f"{event.kind} {attempt} {event.payload.get('turn', '')}".strip()] += 1
    ledger.close()
    return said
