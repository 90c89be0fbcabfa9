"""Read this sixth: one turn of an agent, the smallest step that costs money.

A turn is a request to the model, its answer, and the results of the tools that the answer calls. The results go into
the next request, and so on, until the model calls `finish` with a draft. The ledger has each request and answer before
anything is done about it, and the files are saved at the end of each turn. A person acts between two turns: with a
message, a pause, or a budget.
The loop is `run_agent` in `agents/phasegate/agents/loop/loop.py`, the clients of the providers are in `agents/models/`.
The model here is scripted. It answers over HTTP in the provider's own protocol, so the real client is at work.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from tests.support.agent_loop import EDIT, FINISH, MODELS, AgentHarness, open_attempt

from phasegate.agents.implementation import ChangeDraft
from phasegate.infra.errors import AgentStopped, BudgetExceeded

READ = {"name": "read_file", "args": {"path": "app.py"}}


def turn(*calls: dict[str, Any]) -> dict[str, Any]:
    """An answer that calls tools."""
    return {"tools": list(calls)}


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncGenerator[AgentHarness]:
    """An attempt that has just begun. The agent's folder has one file, `app.py`, with the line `x = 1`."""
    async with open_attempt(tmp_path) as agent:
        yield agent


def text(agent: AgentHarness) -> str:
    """The agent's file as it is now."""
    return (agent.workspace.folder / "app.py").read_text()


@pytest.mark.parametrize("model", MODELS)
async def test_an_agent_takes_turns_until_it_hands_in_its_draft(agent: AgentHarness, model: str) -> None:
    """Each protocol writes a tool call differently. A team may change the provider, and nothing else changes."""
    agent.turns += [turn(READ), turn(EDIT), FINISH]
    assert await agent.work(model) == ChangeDraft(summary="done")
    assert text(agent) == "x = 2\n"
    assert agent.results() == [("read_file", False), ("edit_file", False), ("finish", False)]


async def test_what_a_tool_returned_is_in_the_next_request(agent: AgentHarness) -> None:
    """A model has no eyes and no memory: it knows of a file's content what the request says."""
    agent.turns += [turn(READ), FINISH]
    await agent.work()
    first, second = (agent.ledger.exchanges.request(agent.attempt.id, number) or "" for number in (1, 2))
    assert "Make it two." in first
    assert "x = 1" not in first
    assert "Make it two." in second
    assert "x = 1" in second


async def test_every_turn_is_on_record_with_its_price(agent: AgentHarness) -> None:
    """A person can see later why the agent did something; a budget needs to know what it has used."""
    agent.turns += [turn(READ), turn(EDIT), FINISH]
    await agent.work()
    assert [exchange.turn for exchange in agent.ledger.exchanges.list("run-one")] == [1, 2, 3]
    usage = agent.ledger.exchanges.usage("run-one")
    assert usage.turns == 3
    assert usage.tokens > 0
    agent.ledger.audit("run-one")


async def test_a_call_that_is_refused_is_told_to_the_model_which_may_do_better(agent: AgentHarness) -> None:
    """A protected file stays as it is, and one mistake does not cost the whole attempt."""
    locked = {"name": "write_file", "args": {"path": "locked/x", "content": "mine"}}
    agent.turns += [turn(locked), turn(EDIT), FINISH]
    assert await agent.work() == ChangeDraft(summary="done")
    assert agent.results() == [("write_file", True), ("edit_file", False), ("finish", False)]
    assert not (agent.workspace.folder / "locked").exists()
    assert "locked/x" in (agent.ledger.exchanges.request(agent.attempt.id, 2) or "")


async def test_an_agent_that_gets_nowhere_is_stopped(agent: AgentHarness) -> None:
    """A model that repeats its mistake would do so for as long as somebody pays."""
    lost = {"name": "read_file", "args": {"path": "not-there.py"}}
    agent.turns += [turn({**lost, "args": {"path": f"not-there-{number}.py"}}) for number in range(20)]
    with pytest.raises(AgentStopped):
        await agent.work()
    assert agent.ledger.exchanges.usage("run-one").turns < 20


async def test_a_budget_is_checked_before_the_request_that_would_break_it(agent: AgentHarness) -> None:
    """A limit that is noticed afterwards is no limit."""
    agent.turns += [turn(READ), turn(EDIT), FINISH]
    with pytest.raises(BudgetExceeded):
        await agent.work(turns=1)
    assert agent.ledger.exchanges.usage("run-one").turns == 1
    assert text(agent) == "x = 1\n"


async def test_a_message_of_a_person_is_in_the_next_request(agent: AgentHarness) -> None:
    """A person who watches need not wait for the wrong result to say so."""
    agent.ledger.messages.queue("run-one", "leave the names alone", sender="ana")
    agent.turns += [FINISH]
    await agent.work()
    assert "leave the names alone" in (agent.ledger.exchanges.request(agent.attempt.id, 1) or "")
    (message,) = agent.ledger.messages.list("run-one")
    assert (message.status, message.turn) == ("delivered", 1)


async def test_a_pause_comes_between_two_turns_and_the_agent_continues_there(agent: AgentHarness) -> None:
    """Nothing is cut off in the middle, and no request is sent while the person thinks."""
    agent.turns += [turn(EDIT), FINISH]
    agent.paused = True
    assert await agent.work() is None
    assert agent.ledger.exchanges.usage("run-one").turns == 0
    agent.paused = False
    assert await agent.work() == ChangeDraft(summary="done")
    assert agent.ledger.exchanges.usage("run-one").turns == 2


async def test_a_finished_attempt_that_is_run_again_asks_the_model_nothing(agent: AgentHarness) -> None:
    """Killed after the last answer and before the attempt's end, the engine reads the answers from the ledger."""
    agent.turns += [turn(EDIT), FINISH]
    await agent.work()
    agent.turns.clear()  # a model that was asked now would have nothing to say
    (agent.workspace.folder / "app.py").write_text("half done\n")
    assert await agent.work() == ChangeDraft(summary="done")
    assert text(agent) == "x = 2\n", "and the files are put back, too"
