"""A conversation put back: a new thread begins as another one was after a turn."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, StateGraph

from phasegate.agents.loop import Threads, branch_thread, open_threads
from phasegate.agents.loop.branch import TURN, next_step
from phasegate.agents.loop.state import ThreadState, ThreadUpdate
from phasegate.infra.errors import OperatorNeeded

TURNS = 4


def said(text: str) -> Any:
    return [{"said": {"role": "user", "text": text}}]


async def turn(state: ThreadState) -> ThreadUpdate:
    number = state["turn"] + 1
    draft = {"done": True} if number == TURNS else None
    exchanged = [*said(f"asked {number}"), *said(f"answered {number}")]
    return {"conversation": exchanged, "turn": number, "checkpoint": f"commit {number}", "draft": draft}


def worked(threads: Threads) -> Any:
    graph = StateGraph(ThreadState)
    graph.add_node(TURN, turn)
    graph.add_edge(START, TURN)
    graph.add_conditional_edges(TURN, next_step)
    return graph.compile(checkpointer=threads)


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


async def test_a_branch_holds_what_was_said_until_then_and_goes_on_from_there(tmp_path: Path) -> None:
    """Seen: reading states while the store was listed hung a rewind end to end, for the store is locked then.

    Untried mutation: taking the turn's checkpoint from before its tools had answered, or another turn's.
    """
    async with open_threads(tmp_path / "threads.db") as threads:
        graph = worked(threads)
        begin = {"conversation": said("brief"), "turn": 0, "strikes": 0, "checkpoint": "", "draft": None, "stopped": ""}
        await graph.ainvoke(begin, thread("one"), durability="sync")
        for _ in range(2):  # a repeat makes the same branch again
            async with asyncio.timeout(10):
                await branch_thread(threads, "one", 2, "two")
        held = await graph.aget_state(thread("two"))
        texts = [entry["said"]["text"] for entry in held.values["conversation"]]
        assert texts == ["brief", "asked 1", "answered 1", "asked 2", "answered 2"]
        assert (held.values["turn"], held.values["checkpoint"], held.values["draft"]) == (2, "commit 2", None)
        assert held.next == (TURN,)
        ended = await graph.ainvoke(None, thread("two"), durability="sync")
        assert (ended["turn"], ended["draft"]) == (TURNS, {"done": True})
        assert (await graph.aget_state(thread("one"))).values["turn"] == TURNS
        await branch_thread(threads, "one", 0, "two")
        assert (await graph.aget_state(thread("two"))).values == {}
        with pytest.raises(OperatorNeeded, match="as of turn 9"):
            await branch_thread(threads, "one", 9, "two")
