"""The agent loop against the rehearsal server, over real HTTP, with a real ledger, thread store and worktree."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.support.agent_loop import EDIT, FINISH, MODELS, AgentHarness

from phasegate.agents.implementation import ChangeDraft
from phasegate.infra.errors import AgentStopped, BudgetExceeded, RehearsalDeparted


@pytest.mark.parametrize("model", MODELS)
async def test_it_works_until_it_finishes(office: AgentHarness, model: str) -> None:
    office.turns += [{"text": "I look.", "tools": [{"name": "read_file", "args": {"path": "app.py"}}]}]
    office.turns += [{"expect": "x = 1", "tools": [EDIT]}, {"expect": "edited app.py at line 1", **FINISH}]
    assert await office.work(model) == ChangeDraft(summary="done")
    assert (office.workspace.folder / "app.py").read_text() == "x = 2\n"
    assert office.ledger.exchanges.usage("run-one").turns == 3
    assert [exchange.turn for exchange in office.ledger.exchanges.list("run-one")] == [1, 2, 3]
    office.ledger.audit("run-one")


async def test_the_threads_ends_are_in_langgraphs_checkpointer_and_its_turns_in_the_ledger(
    office: AgentHarness,
) -> None:
    office.turns += [{"tools": [EDIT]}, FINISH]
    await office.work()
    found = await office.threads.aget_tuple({"configurable": {"thread_id": office.attempt.id}})
    assert found is not None
    assert found.checkpoint["channel_values"]["draft"]["summary"] == "done"
    turns = office.ledger.turns.list(office.attempt.id)
    assert [(turn.number, turn.left["draft"] is None) for turn in turns] == [(1, True), (2, False)]
    assert [call["name"] for turn in turns for call in turn.reply["calls"]] == ["edit_file", "finish"]


async def test_an_interrupted_attempt_repeats_no_answered_turn_and_no_half_done_tool(office: AgentHarness) -> None:
    """The process dies after the edit was made, before the turn was checkpointed: the edit is made once in all."""
    office.turns += [{"tools": [EDIT]}, {"tools": [{"name": "run", "args": {"command": "sleep 60; echo x"}}]}, FINISH]
    working = asyncio.create_task(office.work())
    while office.ledger.exchanges.usage("run-one").turns < 2:  # noqa: ASYNC110  the ledger has no event to wait for
        await asyncio.sleep(0.01)
    (office.workspace.folder / "half.txt").write_text("half done")
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    office.turns[1] = {"tools": [{"name": "run", "args": {"command": "ls; cat app.py"}}]}
    # the second call was answered already: its recorded command runs again, on the tree the first turn left
    resumed = asyncio.create_task(office.work())
    await asyncio.sleep(1)
    assert office.ledger.exchanges.usage("run-one").turns == 2
    assert (office.workspace.folder / "app.py").read_text() == "x = 2\n"
    assert not (office.workspace.folder / "half.txt").exists()
    resumed.cancel()
    await asyncio.gather(resumed, return_exceptions=True)


async def test_an_attempt_that_was_cut_off_as_it_began_begins_anew(
    office: AgentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LangGraph stores a beginning in two steps. Mutation tried: a thread is believed that holds a part of it."""
    put = office.threads.aput
    stored = list[object]()

    async def cut_off(*given: Any) -> Any:
        if stored:
            raise ConnectionError("cut off")
        stored.append(given)
        return await put(*given)

    office.turns += [FINISH]
    with monkeypatch.context() as patched:
        patched.setattr(office.threads, "aput", cut_off)
        with pytest.raises(ConnectionError):
            await office.work()
    assert await office.work() == ChangeDraft(summary="done")
    assert (office.ledger.exchanges.request(office.attempt.id, 1) or "").count("Make it two.") == 1


async def test_what_a_power_cut_took_is_made_again_without_the_model(office: AgentHarness, tmp_path: Path) -> None:
    """The thread store is gone, and the last turn's end, for which nothing waits until it is on disk.

    Untried mutations: an attempt without a thread does not read its journal; it does not put the files back.
    """
    look = {"name": "read_file", "args": {"path": "app.py"}}
    office.turns += [{"tools": [look]}, {"tools": [EDIT]}, {"tools": [EDIT]}, FINISH]
    assert await office.work() == ChangeDraft(summary="done")
    office.turns.clear()  # a model that was asked again would have nothing to say
    await office.threads.adelete_thread(office.attempt.id)
    with sqlite3.connect(tmp_path / "ledger.db") as ledger:
        ledger.execute("DELETE FROM turns WHERE id LIKE '%/4'")
        ledger.execute("DELETE FROM events WHERE position = (SELECT max(position) FROM events)")
    (office.workspace.folder / "app.py").write_text("half done")
    assert await office.work() == ChangeDraft(summary="done")
    assert (office.workspace.folder / "app.py").read_text() == "x = 2\n"
    assert office.ledger.exchanges.usage("run-one").turns == 4
    assert office.results() == [("read_file", False), ("edit_file", False), ("edit_file", True), ("finish", False)]
    office.ledger.audit("run-one")


async def test_a_message_reaches_the_next_request(office: AgentHarness) -> None:
    office.turns += [{"tools": [EDIT]}, {"expect": "leave the names", **FINISH}]
    office.ledger.messages.queue("run-one", "leave the names alone", sender="ana")
    office.turns[0]["expect"] = "leave the names alone"
    office.turns[1].pop("expect")
    assert await office.work() == ChangeDraft(summary="done")
    (message,) = office.ledger.messages.list("run-one")
    assert (message.status, message.turn) == ("delivered", 1)


async def test_a_pause_puts_the_work_down_between_turns_and_it_goes_on_there(office: AgentHarness) -> None:
    office.turns += [{"tools": [EDIT]}, FINISH]
    office.paused = True
    assert await office.work() is None
    assert office.ledger.exchanges.usage("run-one").turns == 0
    office.paused = False
    assert await office.work() == ChangeDraft(summary="done")


async def test_a_departure_names_stage_and_turn(office: AgentHarness) -> None:
    office.turns += [{"tools": [EDIT]}, {"expect": "never said", **FINISH}]
    with pytest.raises(RehearsalDeparted, match=r"implementation.*turn 2"):
        await office.work()


async def test_bad_calls_are_answered_and_an_agent_that_achieves_nothing_is_stopped(office: AgentHarness) -> None:
    bad = [
        {"name": "read_file", "args": {"path": "../../etc/passwd"}},
        {"name": "read_file", "args": {"path": "/etc/passwd"}},
        {"name": "edit_file", "args": {"path": "app.py", "old": "absent", "new": ""}},
        {"name": "write_file", "args": {"path": "locked/x", "content": ""}},
        {"name": "deploy", "args": {}},
    ]
    office.turns += [{"tools": [call]} for call in bad] + [FINISH]
    with pytest.raises(AgentStopped, match="5 turns in a row"):
        await office.work()
    assert office.results() == [(call["name"], True) for call in bad]
    # resumed by a person, it continues with a clean record
    assert await office.work() == ChangeDraft(summary="done")


async def test_a_budget_is_checked_before_the_call_that_would_break_it(office: AgentHarness) -> None:
    office.turns += [{"tools": [EDIT]}, FINISH]
    with pytest.raises(BudgetExceeded):
        await office.work(turns=1)
    assert office.ledger.exchanges.usage("run-one").turns == 1
