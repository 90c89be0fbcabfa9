"""What people say to an agent at work: at once if it is urgent, once in any case, and as the answer to its question."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.integration.loop.test_loop import EDIT, FINISH, Office, office

from phasegate.agents.implementation import ChangeDraft
from phasegate.agents.loop import loop as loop_module
from phasegate.infra.errors import NotAllowed, QuestionAsked

__all__ = ["office"]


class Rope:
    """A bell that a test rings."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    @contextmanager
    def __call__(self) -> Generator[asyncio.Event]:
        yield self.event


@pytest.fixture
def rope(monkeypatch: pytest.MonkeyPatch) -> Rope:
    """The bell of every desk of the test."""
    rope, desk = Rope(), loop_module.Desk

    class Ringing(desk):  # type: ignore[misc, valid-type]  # the office makes its own desk
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, bell=rope)

    monkeypatch.setattr("tests.integration.loop.test_loop.Desk", Ringing)
    return rope


async def until(ready: Any) -> None:
    async with asyncio.timeout(10):
        while not ready():  # noqa: ASYNC110  files and ledgers have no event to wait for
            await asyncio.sleep(0.01)


async def test_an_urgent_message_interrupts_the_tool_at_work_and_nothing_of_it_goes_on(
    office: Office, rope: Rope
) -> None:
    """The command would rest 30 s; the test's time limit is the proof that it did not."""
    begun = office.workspace.folder / "begun"
    slow = {"name": "run", "args": {"command": "touch begun; sleep 30; touch ended"}}
    office.turns += [{"tools": [slow, EDIT]}, {"expect": "(?s)interrupted by.*not carried out.*stop that", **FINISH}]
    working = asyncio.create_task(office.work())
    await until(begun.exists)
    office.ledger.messages.queue("run-one", "stop that", sender="ana", urgent=True)
    rope.event.set()
    async with asyncio.timeout(10):
        assert await working == ChangeDraft(summary="done")
    assert (office.workspace.folder / "app.py").read_text() == "x = 1\n"
    (message,) = office.ledger.messages.list("run-one")
    assert (message.status, message.turn, message.urgent) == ("delivered", 2, True)
    office.ledger.audit("run-one")


async def test_a_patient_message_interrupts_nothing(office: Office, rope: Rope) -> None:
    slow = {"name": "run", "args": {"command": "touch begun; sleep 1; touch ended"}}
    office.turns += [{"tools": [slow]}, {"expect": "when you can", **FINISH}]
    working = asyncio.create_task(office.work())
    await until((office.workspace.folder / "begun").exists)
    office.ledger.messages.queue("run-one", "when you can", sender="ana")
    rope.event.set()
    assert await working == ChangeDraft(summary="done")
    assert (office.workspace.folder / "ended").exists()


async def test_a_question_suspends_the_agent_and_its_answer_is_the_calls_result(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asking(*given: Any, **named: Any) -> Any:
        return replace(assignment(*given, **named), asks=True)

    assignment = loop_module.Assignment
    monkeypatch.setattr("tests.integration.loop.test_loop.Assignment", asking)
    ask = {"name": "ask", "args": {"question": "Two or three?"}}
    office.turns += [{"tools": [EDIT, ask]}, {"expect": "(?s)edited app.py.*Two, please", **FINISH}]
    for _ in range(2):  # asked again, it waits for the same answer, and has done nothing else of that turn
        with pytest.raises(QuestionAsked, match=r"Two or three\?"):
            await office.work()
        assert (office.workspace.folder / "app.py").read_text() == "x = 1\n"
    (question,) = office.ledger.questions.open("run-one")
    assert (question.text, question.turn) == ("Two or three?", 1)
    office.ledger.questions.answer("run-one", "Two, please", person="ana")
    with pytest.raises(NotAllowed, match="asked nothing"):
        office.ledger.questions.answer("run-one", "Three", person="bo")
    assert await office.work() == ChangeDraft(summary="done")
    assert office.ledger.exchanges.usage("run-one").turns == 2
    office.ledger.audit("run-one")


async def test_an_agent_that_repeats_itself_is_told_and_then_stopped(office: Office) -> None:
    look = {"tools": [{"name": "read_file", "args": {"path": "app.py"}}]}
    office.turns += [look, look, look, look, {"expect": "You are getting nowhere", **FINISH}]
    assert await office.work() == ChangeDraft(summary="done")
