"""Threads in a SQLite file and on Postgres: what a turn added is there after the process has gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from tenacity import stop_after_attempt
from tests.postgres import PostgresServer

from phasegate.agents.loop import Threads, open_threads
from phasegate.agents.loop.state import ThreadState, ThreadUpdate
from phasegate.infra.errors import LedgerUnavailable

TURNS = 40
CONFIG: RunnableConfig = {"configurable": {"thread_id": "run-one/prd/1"}, "recursion_limit": 10 * TURNS}


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """A fresh thread store of each kind."""
    if request.param == "sqlite":
        return tmp_path / "threads.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


def talk(threads: Threads) -> Any:
    """An agent that says its turn's number, and breaks down at turn 7 of its first life."""

    async def think(state: ThreadState) -> ThreadUpdate:
        turn = state["turn"] + 1
        if turn == 7 and state["checkpoint"] == "first life":
            raise RuntimeError("broken down")
        return {"conversation": [{"said": {"role": "user", "text": str(turn)}}], "turn": turn}

    graph = StateGraph(ThreadState)
    graph.add_node("think", think)
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", lambda state: END if state["turn"] >= TURNS else "think")
    return graph.compile(checkpointer=threads)


async def test_a_thread_goes_on_from_its_last_turn_in_another_process_connection(where: Path | str) -> None:
    """Mutation tried: a saver that loses the channel's deltas (`aget_delta_channel_history` giving {}) fails this."""
    begin = {"conversation": [], "turn": 0, "strikes": 0, "checkpoint": "first life", "draft": None, "stopped": ""}
    async with open_threads(where) as threads:
        with pytest.raises(RuntimeError):
            await talk(threads).ainvoke(begin, CONFIG, durability="sync")
    async with open_threads(where) as threads:
        graph = talk(threads)
        state = (await graph.aget_state(CONFIG)).values
        assert [entry["said"]["text"] for entry in state["conversation"]] == [str(turn) for turn in range(1, 7)]
        await graph.aupdate_state(CONFIG, {"checkpoint": "second life"}, as_node="think")
        ended = await graph.ainvoke(None, CONFIG, durability="sync")
    assert [entry["said"]["text"] for entry in ended["conversation"]] == [str(turn) for turn in range(1, TURNS + 1)]


async def test_what_a_thread_takes_grows_by_what_each_turn_adds(postgres: PostgresServer) -> None:
    begin = {"conversation": [], "turn": 0, "strikes": 0, "checkpoint": "", "draft": None, "stopped": ""}
    url = postgres.new_database()
    async with open_threads(url) as threads:
        await talk(threads).ainvoke(begin, CONFIG, durability="sync")
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT sum(length(blob)) FROM checkpoint_writes WHERE channel = 'conversation'")
        (size,) = row.fetchone() or (0,)
    assert 0 < size < TURNS * 200


async def test_a_postgres_that_comes_back_in_time_is_waited_for_and_one_that_does_not_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = PostgresServer()
    try:
        server.start()
        url = server.new_database()
        begin = {"conversation": [], "turn": 0, "strikes": 0, "checkpoint": "", "draft": None, "stopped": ""}
        async with open_threads(url) as threads:
            await talk(threads).ainvoke(begin, CONFIG, durability="sync")
            server.stop()
            server.start()
            assert (await talk(threads).aget_state(CONFIG)).values["turn"] == TURNS
            monkeypatch.setattr("phasegate.agents.loop.threads._RETRYING.stop", stop_after_attempt(1))
            server.stop()
            with pytest.raises(LedgerUnavailable, match="thread store does not answer"):
                await talk(threads).aget_state(CONFIG)
    finally:
        server.remove()
