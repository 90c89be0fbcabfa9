"""Messages of people to an agent at work: at once if urgent, once in any case, and as answers to its questions."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.ledgers import policy_with
from tests.support.agent_loop import EDIT, FINISH, MODELS, AgentHarness, Paper

from phasegate.agents import loop as loop_module
from phasegate.agents.implementation import ChangeDraft
from phasegate.agents.rehearsal.recorded import RecordedReplies
from phasegate.agents.rehearsal.script import Script
from phasegate.agents.rehearsal.server import RehearsalServer
from phasegate.infra.errors import NotAllowed, NotFound, QuestionAsked
from phasegate.infra.ledger import Origin, RunOptions
from phasegate.infra.workspace import Repository, Workspace


class Rope:
    """A wake signal that a test sets."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    @contextmanager
    def __call__(self) -> Generator[asyncio.Event]:
        yield self.event


@pytest.fixture
def rope(monkeypatch: pytest.MonkeyPatch) -> Rope:
    """The wake signal of every agent runtime of the test."""
    rope, runtime = Rope(), loop_module.AgentRuntime

    class Ringing(runtime):  # type: ignore[misc, valid-type]  # the office makes its own runtime
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, wake_signal=rope)

    monkeypatch.setattr("tests.support.agent_loop.AgentRuntime", Ringing)
    return rope


async def until(ready: Any) -> None:
    async with asyncio.timeout(30):
        while not ready():  # noqa: ASYNC110  files and ledgers have no event to wait for
            await asyncio.sleep(0.01)


async def test_an_urgent_message_interrupts_the_tool_at_work_and_nothing_of_it_goes_on(
    office: AgentHarness, rope: Rope
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


async def test_a_rehearsal_of_an_interrupted_tool_is_the_same(office: AgentHarness, rope: Rope, tmp_path: Path) -> None:
    """The tool is not run again: no message would interrupt it now.

    Mutation tried: the tool is run again.
    """
    slow = {"name": "run", "args": {"command": "touch begun; sleep 30"}}
    office.turns += [{"tools": [slow, EDIT]}, FINISH]
    working = asyncio.create_task(office.work())
    await until((office.workspace.folder / "begun").exists)
    office.ledger.messages.queue("run-one", "stop that", sender="ana", urgent=True)
    rope.event.set()
    await working
    runs = office.ledger.runs
    original = runs.get("run-one")
    runs.accept(
        "run-two",
        title="t",
        ticket=Paper(),
        policy=policy_with(),
        repository=original.repository,
        base_branch=original.base_branch,
        base_commit=original.base_commit,
        requester="ana",
        options=RunOptions(),
        definition="1",
        origin=Origin(run="run-one", stage="implementation", mode="rehearse"),
    )
    attempt, _ = office.ledger.attempts.begin(
        "run-two", "implementation", "", 1, inputs={}, model=MODELS[0], prompt="p", holder="here/1"
    )
    repository = Repository.open(Path(original.repository))
    workspace = Workspace.create(repository, "run-two", original.base_commit, tmp_path / "work-two")

    def recorded(_run: str) -> RecordedReplies:
        return RecordedReplies(office.ledger, original, runs.get("run-two"))

    def unscripted(_run: str) -> Script:
        raise NotFound("there is no script")

    async with RehearsalServer(unscripted, recorded) as server:
        again = replace(office, attempt=attempt, workspace=workspace, server=server)
        async with asyncio.timeout(20):
            assert await again.work() == ChangeDraft(summary="done")
    assert not (workspace.folder / "begun").exists()
    assert office.ledger.exchanges.usage("run-two").turns == 2


async def test_an_urgent_message_cuts_a_slow_stream_and_the_call_is_made_anew_with_it(
    office: AgentHarness, rope: Rope
) -> None:
    """The stream would rest 300 s. What was streamed of the cut answer is nowhere; what it may have cost is said."""
    office.faults += [{"stage": "implementation", "turn": 1, "kind": "slow", "seconds": 300}]
    office.turns += [{"text": "I begin, slowly.", "tools": [EDIT]}, FINISH]
    working = asyncio.create_task(office.work())
    await until(office.struck)
    asked = time.monotonic()
    office.ledger.messages.queue("run-one", "leave it", sender="ana", urgent=True)
    rope.event.set()
    await until(lambda: "turn.cut" in office.kinds())
    assert time.monotonic() - asked < 5  # not a measure: far from the stream's rest, on any machine
    async with asyncio.timeout(10):
        assert await working == ChangeDraft(summary="done")
    order = [kind for kind in office.kinds() if kind.startswith(("message.", "turn."))]
    assert order == ["message.queued", "turn.cut", "message.delivered", "turn.answered", "turn.answered"]
    (cut,) = [event.payload for event in office.ledger.events("run-one") if event.kind == "turn.cut"]
    assert cut["usage"] == "unknown"
    assert cut["estimate"]["input_tokens"] > 100
    (message,) = office.ledger.messages.list("run-one")
    assert (message.status, message.turn) == ("delivered", 1)
    body = office.ledger.exchanges.request(office.attempt.id, 2) or ""
    assert body.count("leave it") == 1
    assert office.ledger.exchanges.usage("run-one").turns == 2
    office.ledger.audit("run-one")


@pytest.mark.parametrize("moment", ["before:message.delivered", "after:message.delivered", "before:turn.cut"])
async def test_an_urgent_message_survives_kill_9_and_is_heard_once(
    office: AgentHarness, rope: Rope, moment: str
) -> None:
    """The agent's process is killed for real while it turns to the message; another one continues."""
    office.faults += [{"stage": "implementation", "turn": 1, "kind": "slow", "seconds": 300}]
    office.turns += [{"tools": [EDIT]}, FINISH]
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.loop.killed"),
        *(str(office.state.parent), office.server.base_url("run-one", "implementation", 1)),
        env={**os.environ, "PHASEGATE_CRASH_AT": moment},
    )
    await until(office.struck)
    office.ledger.messages.queue("run-one", "leave it", sender="ana", urgent=True)
    assert await child.wait() == -signal.SIGKILL
    assert await office.work() == ChangeDraft(summary="done")
    (message,) = office.ledger.messages.list("run-one")
    assert (message.status, message.turn) == ("delivered", 1)
    body = office.ledger.exchanges.request(office.attempt.id, 2) or ""
    assert body.count("leave it") == 1
    assert office.kinds().count("message.delivered") == 1
    office.ledger.audit("run-one")


async def test_a_patient_message_interrupts_nothing(office: AgentHarness, rope: Rope) -> None:
    slow = {"name": "run", "args": {"command": "touch begun; sleep 1; touch ended"}}
    office.turns += [{"tools": [slow]}, {"expect": "when you can", **FINISH}]
    working = asyncio.create_task(office.work())
    await until((office.workspace.folder / "begun").exists)
    office.ledger.messages.queue("run-one", "when you can", sender="ana")
    rope.event.set()
    assert await working == ChangeDraft(summary="done")
    assert (office.workspace.folder / "ended").exists()


async def test_a_question_suspends_the_agent_and_its_answer_is_the_calls_result(
    office: AgentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asking(*given: Any, **named: Any) -> Any:
        return replace(assignment(*given, **named), asks=True)

    assignment = loop_module.Assignment
    monkeypatch.setattr("tests.support.agent_loop.Assignment", asking)
    ask = {"name": "ask", "args": {"question": "Two or three?"}}
    office.turns += [{"tools": [EDIT, ask]}, {"expect": "(?s)edited app.py.*Two, please", **FINISH}]
    for _ in range(2):  # asked again, it waits for the same answer, and has done nothing else of that turn
        with pytest.raises(QuestionAsked, match=r"Two or three\?"):
            await office.work()
        assert (office.workspace.folder / "app.py").read_text() == "x = 1\n"
    (question,) = office.ledger.questions.open("run-one")
    assert (question.text, question.turn) == ("Two or three?", 1)
    office.ledger.questions.answer("run-one", "Two, please", person="ana")
    with pytest.raises(NotAllowed, match="waits for an answer"):
        office.ledger.questions.answer("run-one", "Three", person="bo")
    assert await office.work() == ChangeDraft(summary="done")
    assert office.ledger.exchanges.usage("run-one").turns == 2
    office.ledger.audit("run-one")


async def test_an_agent_that_repeats_itself_is_told_and_then_stopped(office: AgentHarness) -> None:
    look = {"tools": [{"name": "read_file", "args": {"path": "app.py"}}]}
    office.turns += [look, look, look, look, {"expect": "You are getting nowhere", **FINISH}]
    assert await office.work() == ChangeDraft(summary="done")
