"""A conversation put back: a new thread begins as another one was after a turn."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from tests.ledgers import accepted

from phasegate.agents.loop import Threads, branch_thread, open_threads
from phasegate.agents.loop.fork import TURN, next_step
from phasegate.agents.loop.state import ThreadState, ThreadUpdate
from phasegate.infra.errors import OperatorNeeded
from phasegate.infra.ledger import Attempt, Ledger, Usage

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


@pytest.fixture
def ledger(tmp_path: Path) -> Generator[Ledger]:
    """A ledger with an accepted run."""
    opened = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    accepted(opened)
    yield opened
    opened.close()


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


async def test_a_branch_of_a_thread_of_0_1_holds_what_was_said_until_then(tmp_path: Path, ledger: Ledger) -> None:
    """Seen: reading states while the store was listed hung a rewind end to end, for the store is locked then.

    Untried mutation: taking the turn's checkpoint from before its tools had answered, or another turn's.
    """
    async with open_threads(tmp_path / "threads.db") as threads:
        graph = worked(threads)
        begin = {"conversation": said("brief"), "turn": 0, "strikes": 0, "checkpoint": "", "draft": None, "stopped": ""}
        await graph.ainvoke(begin, thread("one"), durability="sync")
        for _ in range(2):  # a repeat makes the same branch again
            async with asyncio.timeout(10):
                await branch_thread(ledger, threads, "one", 2, "two")
        held = await graph.aget_state(thread("two"))
        texts = [entry["said"]["text"] for entry in held.values["conversation"]]
        assert texts == ["brief", "asked 1", "answered 1", "asked 2", "answered 2"]
        assert (held.values["turn"], held.values["checkpoint"], held.values["draft"]) == (2, "commit 2", None)
        assert held.next == (TURN,)
        ended = await graph.ainvoke(None, thread("two"), durability="sync")
        assert (ended["turn"], ended["draft"]) == (TURNS, {"done": True})
        assert (await graph.aget_state(thread("one"))).values["turn"] == TURNS
        await branch_thread(ledger, threads, "one", 0, "two")
        assert (await graph.aget_state(thread("two"))).values == {}
        with pytest.raises(OperatorNeeded, match="as of turn 9"):
            await branch_thread(ledger, threads, "one", 9, "two")


def conclude(ledger: Ledger, attempt: Attempt, number: int) -> None:
    """Record a turn as the loop leaves it in the ledger."""
    ledger.exchanges.record(
        attempt,
        number,
        model="m",
        request=b"{}",
        previous=b"{}",
        reply={"role": "user", "text": f"asked {number}"},
        response="",
        usage=Usage(),
        cost_usd=None,
        latency_seconds=0.0,
    )
    draft = {"done": True} if number == TURNS else None
    state = {"mark": str(number), "strikes": 0, "checkpoint": f"commit {number}", "stopped": "", "compacted": 0}
    left = {**state, "before": [], "after": said(f"answered {number}"), "draft": draft}
    ledger.turns.conclude(attempt, number, left, results=[])


@pytest.mark.parametrize("ended", [False, True])
async def test_a_branch_holds_what_was_said_until_then_and_goes_on_from_there(
    tmp_path: Path, ledger: Ledger, *, ended: bool
) -> None:
    """Untried mutations: the branch has the draft that the thread ended with; it has the turns after its own."""
    one, _ = ledger.attempts.begin("run-one", "implementation", "", 1, inputs={}, model="m", prompt="p", holder="h/1")
    begin = {"conversation": said("brief"), "turn": 0, "strikes": 0, "checkpoint": "", "draft": None, "stopped": ""}
    async with open_threads(tmp_path / "threads.db") as threads:
        graph = worked(threads)
        await graph.aupdate_state(thread(one.id), begin, as_node="__start__")
        for number in range(1, TURNS + 1):
            conclude(ledger, one, number)
        if ended:
            await graph.aupdate_state(thread(one.id), {"draft": {"done": True}}, as_node=TURN)
        for _ in range(2):
            await branch_thread(ledger, threads, one.id, 2, "two")
        held = await graph.aget_state(thread("two"))
        texts = [entry["said"]["text"] for entry in held.values["conversation"]]
        assert texts == ["brief", "asked 1", "answered 1", "asked 2", "answered 2"]
        assert (held.values["turn"], held.values["checkpoint"], held.values["draft"]) == (2, "commit 2", None)
        assert held.next == (TURN,)
        await branch_thread(ledger, threads, "two", 2, "three")  # which has no turns of its own
        assert (await graph.aget_state(thread("three"))).values["conversation"] == held.values["conversation"]
        with pytest.raises(OperatorNeeded, match="as of turn 9"):
            await branch_thread(ledger, threads, one.id, 9, "two")
