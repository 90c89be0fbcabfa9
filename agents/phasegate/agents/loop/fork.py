"""A conversation put back: a new thread that begins as another one was after one of its turns.

Called when a run is rewound. The other thread stays as it is.
"""

from __future__ import annotations

from typing import cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph  # pyright: ignore[reportMissingTypeStubs]  # no py.typed
from langgraph.graph.state import CompiledStateGraph  # pyright: ignore[reportMissingTypeStubs]  # no py.typed

from phasegate.agents.loop.state import ThreadState, ThreadUpdate
from phasegate.agents.loop.threads import Threads
from phasegate.agents.loop.turns import rebuild
from phasegate.infra.errors import OperatorNeeded
from phasegate.infra.ledger import Ledger

TURN = "turn"
"""The one node of the loop's graph; in threads of 0.1 each turn is a step of it, since then all of them are one."""


async def branch_thread(ledger: Ledger, threads: Threads, source: str, turn: int, target: str) -> None:
    """Create a thread that begins with the state of another thread after one of its turns.

    Args:
        ledger: The ledger with the other thread's turns.
        threads: The store of both.
        source: The other thread.
        turn: The last turn to copy. With 0 the new thread is empty.
        target: The new thread, on which no agent has worked yet.

    Raises:
        OperatorNeeded: The other thread holds no finished turn of this number.

    Effects:
        The new thread, from scratch; a repeat makes the same one again.
    """
    await threads.adelete_thread(target)
    if not turn:
        return
    graph = _graph(threads)
    held = await _after(graph, ledger, threads, source, turn)
    if held is None:
        raise OperatorNeeded(
            f"the conversation {source} is not stored as of turn {turn}",
            remedy="Choose the checkpoint of another turn.",
        )
    await graph.aupdate_state(_config(target), dict(held), as_node=TURN)


async def _after(
    graph: CompiledStateGraph[ThreadState, None, ThreadState, ThreadState],
    ledger: Ledger,
    threads: Threads,
    source: str,
    turn: int,
) -> ThreadState | None:
    """The state after a turn's tools had answered, and before anything of the next turn."""
    # The list comes first: the store is locked while it is read.
    stored = [checkpoint async for checkpoint in threads.alist(_config(source))]
    for checkpoint in stored:  # newest first
        if checkpoint.checkpoint["channel_values"].get("turn", turn + 1) > turn:
            continue
        snapshot = await graph.aget_state(checkpoint.config)
        if snapshot.next not in {(), (TURN,)}:
            continue
        held = ThreadState(**cast("ThreadState", snapshot.values))
        since = ledger.turns.list(source, after=held["turn"])
        if since:  # the thread may have ended since
            held["draft"] = None
        whole = rebuild(held, (recorded for recorded in since if recorded.number <= turn))
        return whole if whole["turn"] == turn else None
    return None


def _config(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}


def _graph(threads: Threads) -> CompiledStateGraph[ThreadState, None, ThreadState, ThreadState]:
    """The loop's node without its work: states are read and written by its name."""
    graph = StateGraph(ThreadState)
    graph.add_node(TURN, _nothing)  # pyright: ignore[reportUnknownMemberType]  # langgraph's
    graph.add_edge(START, TURN)
    graph.add_conditional_edges(TURN, next_step)
    return graph.compile(checkpointer=threads)  # pyright: ignore[reportUnknownMemberType]  # as above


async def _nothing(state: ThreadState) -> ThreadUpdate:  # noqa: ARG001  langgraph knows a node by this name
    return {}


def next_step(state: ThreadState) -> str:
    """The graph's node after a turn: the end once the agent has handed in its draft or was stopped."""
    return END if state["draft"] is not None or state["stopped"] else TURN
