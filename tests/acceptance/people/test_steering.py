"""Messages of a person to an agent at work arrive once, when it was promised (P11); with only the command line."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.acceptance.lifecycle.conftest import NEW, OLD, SIGNATURE, Project, edit
from tests.acceptance.people.conftest import begin, kill_engine
from tests.machine import Machine

from phasegate.infra.settings import Settings

SLEEP = {"tools": [{"name": "run", "args": {"command": "touch begun; sleep 30; touch ended"}}]}
POLITE = edit("app.py", OLD, NEW)
FINISH = {"finish": {"summary": "polite"}}
HOLD = {"tools": [{"name": "run", "args": {"command": "until test -e go; do sleep 0.1; done; rm go; echo slept"}}]}
HEARD = "mind the greeting"


def turns(shown: dict[str, Any], stage: str = "implementation") -> int:
    """Model calls that a stage's agent was answered."""
    return sum(one["usage"]["turns"] for one in shown["stages"] if one["stage"] == stage)


def delivered(shown: dict[str, Any]) -> list[tuple[str, int]]:
    return [(one["status"], one["turn"]) for one in shown["messages"]]


def let_go(machine: Machine, run: str) -> None:
    """End the command of `HOLD`."""
    (Settings(home=machine.home).workspaces / run / "work" / "go").touch()


def at_work(machine: Machine, run: str, turn: int) -> None:
    """Wait until the agent has got this far, and begun what comes then."""
    machine.until(run, lambda shown: turns(shown) >= turn)


def test_at_once_cuts_a_tool_call_of_30_seconds(machine: Machine, project: Project) -> None:
    hearing = {"expect": f"(?s)interrupted by.*{HEARD}", **POLITE}
    run = begin(machine, project, implementation=[SIGNATURE, SLEEP, hearing, FINISH])
    at_work(machine, run, 2)
    began = time.monotonic()
    token = "ghp_" + "Ab1" * 13
    said = machine.phasegate("steer", run, f"{HEARD}; the token is {token}", "--now")
    assert (said.code, "what its agent is doing is cut" in said.out) == (0, True), said.out + said.err
    assert "which is masked: GitHub token" in said.err
    shown = machine.until(run, lambda shown: turns(shown) >= 3)
    assert time.monotonic() - began < 20
    assert delivered(shown) == [("delivered", 3)]
    assert "delivered to implementation at turn" in machine.phasegate("show", run).out
    assert "was told the message at turn 3" in machine.phasegate("logs", run).out
    shown = machine.stops(run)
    (change,) = [one["artifact"]["content"] for one in shown["stages"] if one["stage"] == "implementation"]
    assert "ended" not in [file["path"] for file in change["files"]]
    assert HEARD in shown["messages"][0]["text"]
    assert not any(token.encode() in path.read_bytes() for path in machine.home.rglob("*.db*"))
    assert machine.phasegate("audit", run).code == 0


def test_without_at_once_the_tool_call_ends_first(machine: Machine, project: Project) -> None:
    hearing = {"expect": f"(?s)slept.*{HEARD}", **POLITE}
    run = begin(machine, project, implementation=[SIGNATURE, HOLD, hearing, FINISH])
    at_work(machine, run, 2)
    said = machine.phasegate("steer", run, "-", stdin=f"{HEARD}\n")
    assert (said.code, "before its next model call" in said.out) == (0, True), said.out + said.err
    let_go(machine, run)
    assert delivered(machine.stops(run)) == [("delivered", 3)]


@pytest.mark.parametrize("now", [True, False])
def test_a_slow_stream_is_cut_only_at_once(machine: Machine, project: Project, now: bool) -> None:
    """At once, the same turn is asked again with the message; else the turn after it brings it."""
    rest = 60 if now else 15
    fault = {"stage": "implementation", "turn": 2, "kind": "slow", "seconds": rest}
    run = begin(machine, project, faults=[fault], implementation=[SIGNATURE, POLITE, FINISH])
    at_work(machine, run, 1)
    time.sleep(0.5)  # until the second call is under way, which leaves no sign
    assert machine.phasegate("steer", run, HEARD, *(["--now"] if now else [])).code == 0
    began = time.monotonic()
    shown = machine.until(run, lambda shown: turns(shown) >= 2)
    assert not now or time.monotonic() - began < 40
    heard = 2 if now else 3
    assert delivered(machine.stops(run)) == [("delivered", heard)], shown
    ledger = machine.ledger()
    requests = [ledger.exchanges.request(f"{run}/implementation/1", turn) or "" for turn in (1, 2, 3)]
    assert [turn for turn, sent in enumerate(requests, 1) if sent.count(HEARD) == 1] == list(range(heard, 4))
    assert [event.kind for event in ledger.events(run)].count("turn.cut") == int(now)
    ledger.close()


def test_killed_between_queue_and_delivery_it_is_delivered_once(machine: Machine, project: Project) -> None:
    run = begin(machine, project, implementation=[SIGNATURE, HOLD, {"expect": HEARD, **POLITE}, FINISH])
    at_work(machine, run, 2)
    assert machine.phasegate("steer", run, HEARD).code == 0
    kill_engine(machine)
    assert machine.show(run)["messages"][0]["status"] == "queued"
    assert machine.phasegate("up", "--detach").code == 0

    ledger = machine.ledger()
    while ledger.runs.get(run).status != "waiting":
        let_go(machine, run)  # again and again: the turn is done again, from the files it began with
        time.sleep(0.05)
    ledger.close()
    shown = machine.stops(run)
    assert delivered(shown) == [("delivered", 3)]
    events = machine.phasegate("logs", run, "--json").json
    assert [event["kind"] for event in events].count("message.delivered") == 1


def test_a_message_that_comes_too_late_expires_and_says_so(machine: Machine, project: Project) -> None:
    fault = {"stage": "implementation", "turn": 3, "kind": "slow", "seconds": 15}
    run = begin(machine, project, faults=[fault], implementation=[SIGNATURE, POLITE, FINISH])
    at_work(machine, run, 2)
    time.sleep(1)  # until the last call is under way, which leaves no sign
    assert machine.phasegate("steer", run, HEARD).code == 0
    shown = machine.stops(run)
    assert [one["status"] for one in shown["messages"]] == ["expired"]
    assert "expired: implementation ended before it was read" in machine.phasegate("show", run).out
    assert "expired unread" in machine.phasegate("logs", run).out


def test_while_nobody_is_at_work_it_is_for_the_next_agent_and_after_the_end_refused(
    machine: Machine, project: Project
) -> None:
    run = begin(machine, project, implementation=[SIGNATURE, POLITE, FINISH])
    assert machine.stops(run)["gates"][-1]["gate"] == "change"
    assert "queued for the next one" in machine.phasegate("steer", run, "\x1b[31mred\x1b[0m\x07").out
    assert "\x07" not in machine.phasegate("show", run).out
    assert machine.phasegate("reject", run, "--wait").code == 1
    assert [one["status"] for one in machine.show(run)["messages"]] == ["expired"]
    late = machine.phasegate("steer", run, "too late")
    assert (late.code, "rejected" in late.err) == (2, True)
    assert machine.phasegate("steer", run, " ").code == 2
