"""Cut, refused and odd answers, limits and fallbacks of whole runs: outcome, page, log, rehearsal and replay.

Mutations tried: a rehearsal that asks its first model for each turn; one that stops where a person had resumed the
original; warnings without replaced models; a fallback without its key accepted at `run`.
"""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from rich.console import Console
from tests.integration.models.conftest import Clinic
from tests.support.greeter import PRD, REQUESTER, SEALED
from tests.support.lifecycle import LifecycleHarness
from tests.support.model_answers import CUT, FILTERED, Answer, Call, ProtocolName, Refused

from phasegate.flows.cli.views.event_text import describe
from phasegate.flows.cli.views.next_steps import next_steps
from phasegate.flows.cli.views.run_page import page
from phasegate.flows.runs.replay import ReplayRequest, replay
from phasegate.flows.views.branches import run_branches
from phasegate.flows.views.report import report
from phasegate.infra.errors import ModelKeyMissing, UsageError
from phasegate.infra.ledger import Run
from phasegate.infra.policy.load import load_policy

PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)
FINISH_PRD: Call = ("f", "finish", json.dumps(PRD))
DONE = Answer(calls=[FINISH_PRD])
LOOK: Call = ("c1", "read_file", '{"path": "greeting.txt"}')
LATER = datetime.now(UTC) + timedelta(days=2)
LIMITED = Refused(429, {"error": {"type": "usage_limit_reached", "message": "used up", "resets_at": LATER.timestamp()}})
SAME = "every request was as recorded"


def shown(machine: LifecycleHarness, run: Run) -> str:
    """The page of a run, as `show` prints it."""
    document = report(machine.ledger, run.id)
    console = Console(file=io.StringIO(), width=200)
    console.print(page(document, run_branches(document)))
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


async def rehearsed(machine: LifecycleHarness, clinic: Clinic, run: Run) -> Run:
    """Rehearse a run. No model is asked."""
    asked = len(clinic.stub.asked)
    again = await machine.again(run, rehearse=True)
    assert len(clinic.stub.asked) == asked
    return again


ODD: dict[str, list[Call]] = {
    "calls after finish": [FINISH_PRD, LOOK],
    "two finish": [FINISH_PRD, FINISH_PRD],
    "doubled ids": [LOOK, LOOK],
    "no id and no name": [("", "", ""), LOOK],
    "sixty calls": [(f"c{n}", "read_file", '{"path": "greeting.txt"}') for n in range(60)],
    "seventy calls": [(f"c{n}", "read_file", '{"path": "greeting.txt"}') for n in range(70)],
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_rehearsal_says_same_of_odd_and_cut_answers(
    clinic: Clinic, machine: LifecycleHarness, protocol: ProtocolName
) -> None:
    clinic.write(f'model = "{protocol}:a"')
    odd = [Answer(calls=calls) for calls in ODD.values()]
    cut = Answer(calls=[FINISH_PRD], stop=CUT[protocol])
    clinic.stub.says("a", odd[0], cut, odd[1], *odd[2:4], cut, *odd[4:], DONE)
    run = await machine.carry(clinic.kick_off(machine))
    assert run.status == "done", run.reason
    again = await rehearsed(machine, clinic, run)
    assert (again.status, SAME in str(again.reason)) == ("done", True), again.reason
    turns = [machine.ledger.exchanges.usage(which.id).turns for which in (run, again)]
    assert turns == [9, 9]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_refusal_waits_for_an_operator_and_says_what_to_do(
    clinic: Clinic, machine: LifecycleHarness, protocol: ProtocolName
) -> None:
    clinic.write(f'model = "{protocol}:a"')
    clinic.stub.says("a", Answer(calls=[LOOK]), Answer(text="I must not do that.", stop=FILTERED[protocol]))
    run = await machine.carry(clinic.kick_off(machine))
    assert (run.status, report(machine.ledger, run.id).exit_code) == ("needs-operator", 5)
    document = report(machine.ledger, run.id)
    lines = " ".join(next_steps(document, run_branches(document)))
    for text in (lines, shown(machine, run)):
        assert f"{protocol}:a refused to answer ({FILTERED[protocol]}): I must not do that." in text
        assert "phasegate steer" in text
        assert "--model" in text
        assert "[agents] fallback" in text
        assert "achieved nothing" not in text
    log = [str(describe(event, machine.ledger)) for event in machine.ledger.events(run.id)]
    assert any(f"(refused: {FILTERED[protocol]})" in line for line in log)
    assert SAME in str((await rehearsed(machine, clinic, run)).reason)

    machine.ledger.messages.queue(run.id, "leave that part out", sender="ana")
    machine.ledger.runs.resume(run.id, actor="ana")
    clinic.stub.says("a", DONE)
    resumed = await machine.carry(run)
    assert resumed.status == "done", resumed.reason
    assert "leave that part out" in json.dumps(clinic.stub.asked[-1][1])
    assert machine.ledger.exchanges.usage(run.id).turns == 3
    machine.ledger.audit(run.id)


async def test_a_rehearsal_goes_on_where_a_person_had_resumed_the_run(
    clinic: Clinic, machine: LifecycleHarness
) -> None:
    clinic.write('model = "openai:a"\nfallback = ["anthropic:b"]')
    clinic.stub.says("a", Answer(stop=FILTERED["openai"]))
    clinic.stub.says("b", Answer(calls=[LOOK]), Answer(stop=FILTERED["anthropic"]))
    run = await machine.carry(clinic.kick_off(machine))
    assert run.status == "needs-operator"
    machine.ledger.runs.resume(run.id, actor="ana")
    cut = Answer(text="I", stop=CUT["openai"])
    clinic.stub.says("a", cut, cut)
    stopped = await machine.carry(run)
    assert "2 answers of openai:a in a row were cut off" in str(stopped.reason)
    machine.ledger.runs.resume(run.id, actor="ana")
    clinic.stub.says("a", DONE)
    resumed = await machine.carry(run)
    assert resumed.status == "done", resumed.reason
    again = await rehearsed(machine, clinic, resumed)
    assert SAME in str(again.reason), again.reason
    models = [[exchange.model for exchange in machine.ledger.exchanges.list(which.id)] for which in (run, again)]
    assert models[0] == models[1] == ["openai:a", "anthropic:b", "anthropic:b", *["openai:a"] * 3]


async def test_a_limit_waits_for_an_operator_and_says_until_when(clinic: Clinic, machine: LifecycleHarness) -> None:
    clinic.write('model = "openai:a"')
    clinic.stub.says("a", LIMITED)
    run = await machine.carry(clinic.kick_off(machine))
    assert (run.status, report(machine.ledger, run.id).exit_code) == ("needs-operator", 5)
    until = f"{LATER.astimezone():%Y-%m-%d %H:%M %Z}"
    assert f"openai:a has reached a limit of its account until {until}: used up" in shown(machine, run)
    assert len(clinic.stub.asked) == 1
    clinic.stub.says("a", DONE)
    machine.ledger.runs.resume(run.id, actor="ana")
    assert (await machine.carry(run)).status == "done"


async def test_a_fallback_is_on_record_on_the_gates_page_in_the_log_and_in_a_replay(
    clinic: Clinic, machine: LifecycleHarness
) -> None:
    others = '[agents.implementation]\nmodel = "compatible:c"\nfallback = []\n[agents.testing]\nmodel = "anthropic:d"\n'
    stages = '["prd", "implementation", "testing"]'
    clinic.write('model = "openai:a"\nfallback = ["anthropic:b"]', stages, others)
    edit = ("c1", "edit_file", json.dumps({"path": "greeting.txt", "old": "Hello", "new": "Good day"}))

    def answer_all() -> None:
        clinic.stub.says("c", Answer(calls=[edit, ("f", "finish", '{"summary": "done"}')]))
        clinic.stub.says("d", Answer(calls=[("f", "finish", json.dumps({"files": [SEALED]}))]))

    clinic.stub.says("a", Answer(calls=[LOOK]), LIMITED)
    clinic.stub.says("b", DONE)
    answer_all()
    machine.answering = False
    run = await machine.carry(clinic.kick_off(machine))
    assert run.status == "waiting"
    expected = "another model took over: anthropic:b for openai:a (prd): turn 2: openai:a has reached a limit"
    assert expected in shown(machine, run)
    log = [str(describe(event, machine.ledger)) for event in machine.ledger.events(run.id)]
    assert any("prd, turn 2: anthropic:b takes over from openai:a" in line for line in log)
    document = report(machine.ledger, run.id).document()
    assert document["stages"][0]["models"] == ["openai:a", "anthropic:b"]
    assert document["cautions"][0]["sort"] == "replaced"

    machine.answering = True
    finished = await machine.carry(run)
    assert finished.status == "done", finished.reason
    assert SAME in str((await rehearsed(machine, clinic, finished)).reason)

    answer_all()
    replayed = await replay_from_implementation(clinic, machine, finished)
    assert replayed.status == "done", replayed.reason
    assert expected in shown(machine, replayed)
    assert report(machine.ledger, replayed.id).stages[0].models == ("openai:a", "anthropic:b")


async def replay_from_implementation(clinic: Clinic, machine: LifecycleHarness, run: Run) -> Run:
    """Replay a run with real models; its PRD is adopted."""

    request = ReplayRequest(machine.ledger.runs.get(run.id), "implementation")
    settings = machine.shared.settings
    new = replay(request, ledger=machine.ledger, settings=settings, person=REQUESTER, environment=clinic.environment)
    return await machine.carry(new)


MISSING: dict[str, tuple[str, str]] = {
    "for all stages": ('model = "openai:a"\nfallback = ["compatible:c", "anthropic:b"]', ""),
    "for one stage": ('model = "openai:a"', '[agents.prd]\nfallback = ["anthropic:b"]'),
}


@pytest.mark.parametrize("case", MISSING)
async def test_the_key_of_each_fallback_is_asked_for_before_any_work(
    clinic: Clinic, machine: LifecycleHarness, case: str
) -> None:
    agents, more = MISSING[case]
    clinic.write(agents, more=more)
    environment = {name: value for name, value in clinic.environment.items() if name != "ANTHROPIC_API_KEY"}
    with pytest.raises(ModelKeyMissing, match="ANTHROPIC_API_KEY is not set"):
        clinic.kick_off(machine, environment)
    assert machine.ledger.runs.list() == []


async def test_a_fallback_that_names_no_model_is_refused(clinic: Clinic, machine: LifecycleHarness) -> None:
    clinic.write('model = "openai:a"\nfallback = ["gpt"]')
    with pytest.raises(UsageError, match="'gpt' names no model"):
        clinic.kick_off(machine)


def test_a_stage_has_its_own_fallbacks_or_those_of_all() -> None:
    text = """[project]
test = "pytest --junitxml={junit}"
[lifecycle]
stages = ["prd", "implementation", "testing"]
[agents]
model = "openai:a"
fallback = ["anthropic:b", "openai:a"]
[agents.testing]
model = "compatible:c"
fallback = []
[agents.prd]
model = "anthropic:b"
"""
    agents: Any = load_policy(text.encode(), source="phasegate.toml").agents
    assert agents.models_for("implementation") == ("openai:a", "anthropic:b")
    assert agents.models_for("testing") == ("compatible:c",)
    assert agents.models_for("prd") == ("anthropic:b", "openai:a")
    assert agents.models_for("prd", "compatible:x") == ("compatible:x", "anthropic:b", "openai:a")
