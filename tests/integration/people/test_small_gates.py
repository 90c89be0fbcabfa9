"""Agents that need a person in the middle of their work: words, more of a budget, a permission."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.people.conftest import answer, decide
from tests.support.greeter import PRD, edit

from phasegate.infra.errors import NotAllowed

Opened = Callable[..., Any]
POLITE = edit("Hello", "Good day")
FINISH = {"finish": {"summary": "polite"}}
ASK_FIRST = '[permissions.commands]\nask = ["touch", "tee"]\n'


def run(command: str, **more: Any) -> dict[str, Any]:
    """A scripted turn with one command."""
    return {"tools": [{"name": "run", "args": {"command": command}}], **more}


async def test_a_question_is_answered_in_words_and_the_attempt_goes_on(opened: Opened) -> None:
    asks = {"tools": [{"name": "ask", "args": {"question": "Good day or Good evening?"}}]}
    stages = {"prd": [asks, {"expect": "Good day, always", "finish": PRD}]}
    async with opened(stages) as office:
        office.deeds.append(answer("Good day, always"))
        done = await office.run()
        assert done.status == "done", done.reason
        assert office.waits == ["question"]
        (question,) = office.ledger.questions.list(done.id)
        assert (question.answered_by, question.answer) == ("ana", "Good day, always")
        started = [facts["again"] for facts in office.events(done.id, "attempt.started") if "prd" in facts["attempt"]]
        assert started == [False, True]
        assert office.turns(done)["prd/1"] == 2
        office.ledger.audit(done.id)


async def test_a_run_that_nobody_answers_waits_and_loses_nothing(opened: Opened) -> None:
    asks = {"tools": [{"name": "ask", "args": {"question": "Which?"}}]}
    async with opened({"prd": [asks, {"expect": "This", "finish": PRD}]}) as office:
        left = await office.run()
        assert left.status == "waiting"
        assert [attempt.status for attempt in office.ledger.attempts.list(left.id)] == ["running"]
        office.deeds.append(answer("This"))
        assert (await office.carry(left)).status == "done"
        assert office.turns(left)["prd/1"] == 2


@pytest.mark.parametrize("scope", ["[budget]\n", "[budget.stages.implementation]\n", "[budget.day]\n"])
async def test_over_a_budget_a_person_grants_as_much_again_and_the_run_goes_on(opened: Opened, scope: str) -> None:
    turns = 4 if "stages" not in scope else 1
    async with opened({"implementation": [POLITE, FINISH]}, f"{scope}turns = {turns}\n") as office:
        office.deeds.extend([decide("approve")] * 3)
        done = await office.run()
        assert done.status == "done", done.reason
        assert set(office.waits) == {"budget"}
        gates = [gate for gate in office.ledger.gates.list(done.id) if gate.gate == "budget"]
        asked = [office.ledger.artifacts.json(gate.subject["overrun"]) for gate in gates]
        assert [one["allowed"] for one in asked] == [turns * n for n in range(1, len(asked) + 1)]
        assert all(one["used"] <= one["allowed"] for one in asked)
        assert not office.events(done.id, "attempt.failed")
        office.ledger.audit(done.id)


async def test_a_budget_that_is_not_raised_ends_the_run(opened: Opened) -> None:
    async with opened({}, "[budget]\nturns = 1\n") as office:
        office.deeds.append(decide("reject", note="enough"))
        ended = await office.run()
        assert (ended.status, (ended.reason or {})["note"]) == ("rejected", "enough")
        assert office.ledger.exchanges.usage(ended.id).turns == 1


async def test_nothing_can_be_sent_back_at_a_budget_nor_permitted_for_the_stage(opened: Opened) -> None:
    async with opened({}, "[budget]\nturns = 1\n") as office:
        left = await office.run()
        for wrong in (decide("revise", note="cheaper"), decide("approve", for_stage=True)):
            with pytest.raises(NotAllowed):
                wrong(office.ledger, left.id)
        (gate,) = office.ledger.gates.waiting(left.id)
        assert gate.gate == "budget"


async def test_tokens_are_held_before_the_call_that_could_break_them(opened: Opened) -> None:
    async with opened({}, "[budget]\ntokens = 4000\n") as office:
        left = await office.run()
        assert office.waits == ["budget"]
        assert office.ledger.exchanges.usage(left.id).tokens <= 4000
        (gate,) = office.ledger.gates.waiting(left.id)
        asked = office.ledger.artifacts.json(gate.subject["overrun"])
        assert asked["used"] + asked["expected"] > asked["allowed"] >= asked["used"]


async def test_the_same_question_is_asked_once_however_often_the_run_is_taken_up(opened: Opened) -> None:
    async with opened({}, "[budget]\nturns = 1\n") as office:
        left = await office.run()
        for _ in range(2):
            left = await office.carry(left)
        assert [gate.gate for gate in office.ledger.gates.list(left.id)] == ["budget"]


async def test_a_command_that_is_asked_about_runs_once_a_person_has_permitted_it(opened: Opened) -> None:
    twice = [run("touch one"), run("touch one", expect="exit code 0"), POLITE, FINISH]
    async with opened({"implementation": twice}, ASK_FIRST) as office:
        office.deeds.extend([decide("approve"), decide("approve")])
        done = await office.run()
        assert done.status == "done", done.reason
        assert office.waits == ["permission", "permission"]


async def test_a_permission_for_the_stage_holds_for_what_starts_nothing_else(opened: Opened) -> None:
    stage = [
        run("touch one"),
        run("true && touch one", expect="exit code 0"),
        run("touch two", expect="exit code 0"),
        POLITE,
        FINISH,
    ]
    async with opened({"implementation": stage}, ASK_FIRST) as office:
        office.deeds.extend([decide("approve", for_stage=True), decide("approve")])
        done = await office.run()
        assert done.status == "done", done.reason
        assert office.waits == ["permission", "permission"]
        commands = [
            office.ledger.artifacts.json(gate.subject["permission-request"])["command"]
            for gate in office.ledger.gates.list(done.id)
            if gate.gate == "permission"
        ]
        assert commands == ["touch one", "touch two"]
        assert [one.for_stage for one in office.ledger.gates.decisions(done.id)][1:3] == [True, False]
        office.ledger.audit(done.id)


@pytest.mark.parametrize("verdict", ["reject", "revise"])
async def test_a_refused_command_does_not_run_and_the_agent_is_told_why(opened: Opened, verdict: str) -> None:
    stage = [run("touch one"), {**POLITE, "expect": "a person refused.*use the editor"}, FINISH]
    async with opened({"implementation": stage}, ASK_FIRST) as office:
        office.deeds.append(decide(verdict, note="use the editor"))
        done = await office.run()
        assert done.status == "done", done.reason
        (change,) = [one for one in office.ledger.attempts.list(done.id) if one.stage == "implementation"]
        files = office.ledger.artifacts.json(change.artifact or "")["files"]
        assert [file["path"] for file in files] == ["greeting.txt"]


async def test_nothing_of_a_turn_is_done_before_all_of_it_is_permitted(opened: Opened) -> None:
    both = {"tools": [*POLITE["tools"], *run("touch one")["tools"]]}
    async with opened({"implementation": [both, FINISH]}, ASK_FIRST) as office:
        left = await office.run()
        folder = office.shared.settings.workspaces / left.id / "work"
        assert (folder / "greeting.txt").read_text() == "Hello\n"
        office.deeds.append(decide("approve"))
        assert (await office.carry(left)).status == "done"


async def test_a_rehearsal_is_given_the_answers_of_then(opened: Opened) -> None:
    asks = {"tools": [{"name": "ask", "args": {"question": "Which?"}}]}
    stages = {
        "prd": [asks, {"expect": "This", "finish": PRD}],
        "implementation": [run("touch one"), run("touch two"), POLITE, FINISH],
    }
    async with opened(stages, f"{ASK_FIRST}[budget]\nturns = 5\n") as office:
        office.deeds.extend([answer("This"), *[decide("approve")] * 4])
        done = await office.run()
        assert done.status == "done", done.reason
        again = await office.again(done, rehearse=True)
        said = office.events(again.id, "rehearsal.departed")
        assert (again.status, (again.reason or {}).get("code")) == ("done", "same"), (again.reason, said)
        assert not office.ledger.gates.list(again.id)
