"""One stage attempt's agent at work. Called by the stages' agents; knows no stage and no provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph  # pyright: ignore[reportMissingTypeStubs]  # no py.typed
from langgraph.graph.state import CompiledStateGraph  # pyright: ignore[reportMissingTypeStubs]  # no py.typed
from pydantic import BaseModel

from phasegate.agents.loop.branch import next_step
from phasegate.agents.loop.state import ThreadState, ThreadUpdate
from phasegate.agents.loop.threads import Threads
from phasegate.agents.models.client import ModelClient
from phasegate.agents.models.conversation import Message, ToolResult
from phasegate.agents.models.prices import cost_usd
from phasegate.agents.tools import Toolbox, ToolOutcome
from phasegate.infra.errors import AgentStopped, BudgetExceeded
from phasegate.infra.ledger import Attempt, Exchange, Ledger, Usage
from phasegate.infra.policy.model import BudgetPolicy

_STRIKES = 5
"""Turns in a row without any successful call before the agent is stopped."""
_NUDGE = "You called no tool. Go on with your tools, or hand in your result with `finish`."

Draft = TypeVar("Draft", bound=BaseModel)
_Graph: TypeAlias = CompiledStateGraph[ThreadState, None, ThreadState, ThreadState]


class Place(Protocol):
    """Where an agent changes files: what it made can be kept turn by turn, and put back."""

    def save(self, turn: int) -> str:
        """Keep the files as they are now; returns the commit that holds them."""
        ...

    def restore(self, commit: str) -> None:
        """Make the files what they were at a commit; what was there is kept elsewhere."""
        ...


@dataclass(frozen=True)
class Desk:
    """What every agent works with in this process.

    Attributes:
        ledger: Where model calls are recorded and messages wait.
        threads: Where threads are kept.
        budget: What the run may use up.
        put_down: Whether a person asked for a pause; asked before every model call.
    """

    ledger: Ledger
    threads: Threads
    budget: BudgetPolicy
    put_down: Callable[[], bool]


@dataclass(frozen=True)
class Assignment(Generic[Draft]):
    """One attempt's work.

    Attributes:
        attempt: The attempt; its id names the thread.
        prompt: The stage's standing instructions.
        brief: What this attempt is about.
        draft: The type of what is handed in.
        toolbox: What the agent may do.
        client: The model.
        place: Where it changes files; None for an agent that only reads.
    """

    attempt: Attempt
    prompt: str
    brief: str
    draft: type[Draft]
    toolbox: Toolbox
    client: ModelClient
    place: Place | None = None


async def work(assignment: Assignment[Draft], desk: Desk) -> Draft | None:
    """Let the agent work until it hands in its draft.

    An attempt that was interrupted goes on where it was: finished turns are not repeated.

    Returns:
        The draft; None when a person asked for a pause.

    Raises:
        AgentStopped: The agent went on without achieving anything.
        BudgetExceeded: The next model call would break the run's budget.
        ModelUnavailable: The provider did not answer, tries included.
        PermanentError: The provider refused, or a rehearsal departed from its script.

    Effects:
        One exchange per turn, keyed by attempt and turn; a repeat finds it and calls no model.
    """
    return await _Worker(assignment, desk).run()


class _PutDown(Exception):
    """Leaves the graph between two turns."""


class _Worker(Generic[Draft]):
    def __init__(self, assignment: Assignment[Draft], desk: Desk) -> None:
        self._assignment, self._desk, self._attempt = assignment, desk, assignment.attempt
        self._encoder = assignment.client.conversation(
            assignment.prompt, assignment.toolbox.specs, assignment.attempt.id
        )
        self._encoded = 0
        self._previous = b""

    async def run(self) -> Draft | None:
        graph = self._graph()
        config: RunnableConfig = {
            "configurable": {"thread_id": self._attempt.id},
            "recursion_limit": 10 * self._desk.budget.turns + 10,
        }
        state = cast("ThreadState", (await graph.aget_state(config)).values)
        if not state.get("conversation"):
            begin = self._beginning()
        else:
            begin = None
            await self._pick_up(state, graph, config)
        if state.get("draft") is None:
            try:
                ended = await graph.ainvoke(begin, config, durability="sync")  # pyright: ignore[reportUnknownMemberType]  # langgraph's
                state = cast("ThreadState", ended)
            except _PutDown:
                return None
        if state["draft"] is not None:
            return self._assignment.draft.model_validate(state["draft"])
        raise AgentStopped(
            f"the agent of stage {self._attempt.stage} was stopped: {state['stopped']}",
            remedy="See `phasegate logs RUN`; `phasegate resume RUN` lets it go on.",
        )

    def _beginning(self) -> ThreadState:
        """What a new thread starts from: the brief, and the files as they are."""
        return {
            "conversation": [{"said": {"role": "user", "text": self._assignment.brief}}],
            "turn": 0,
            "strikes": 0,
            "checkpoint": self._assignment.place.save(0) if self._assignment.place else "",
            "draft": None,
            "stopped": "",
        }

    async def _pick_up(self, state: ThreadState, graph: _Graph, config: RunnableConfig) -> None:
        """Put the files back where the thread left them, and give an agent that was stopped a clean record."""
        if self._assignment.place:
            self._assignment.place.restore(state["checkpoint"])
        if state["stopped"]:
            await graph.aupdate_state(config, {"strikes": 0, "stopped": ""}, as_node="act")

    def _graph(self) -> _Graph:
        graph = StateGraph(ThreadState)
        for name, node in {"steer": self._steer, "think": self._think, "act": self._act}.items():
            graph.add_node(name, node)  # pyright: ignore[reportUnknownMemberType]  # langgraph's
        graph.add_edge(START, "steer")
        graph.add_edge("steer", "think")
        graph.add_edge("think", "act")
        graph.add_conditional_edges("act", next_step)
        return graph.compile(checkpointer=self._desk.threads)  # pyright: ignore[reportUnknownMemberType]  # as above

    async def _steer(self, state: ThreadState) -> ThreadUpdate:
        if self._desk.put_down():
            raise _PutDown
        delivered = self._desk.ledger.messages.deliver(self._attempt, state["turn"] + 1)
        return {"conversation": [{"said": {"role": "user", "text": message.text}} for message in delivered]}

    async def _think(self, state: ThreadState) -> ThreadUpdate:
        turn = state["turn"] + 1
        for entry in state["conversation"][self._encoded :]:
            self._encoder.append(entry["said"])
        self._encoded = len(state["conversation"])
        body = self._encoder.body()
        exchange = self._desk.ledger.exchanges.find(self._attempt.id, turn) or await self._ask(turn, body)
        self._previous = body
        reply: Any = exchange.reply
        return {"conversation": [{"said": reply}], "turn": turn}

    async def _ask(self, turn: int, body: bytes) -> Exchange:
        ledger = self._desk.ledger
        self._check_budget()
        if not self._previous and turn > 1:
            self._previous = (ledger.exchanges.request(self._attempt.id, turn - 1) or "").encode()
        reply = await self._assignment.client.send(body)
        return ledger.exchanges.record(
            self._attempt,
            turn,
            model=self._attempt.model,
            request=reply.request,
            previous=self._previous,
            reply=dict(reply.message),
            response=reply.response,
            usage=Usage(
                input_tokens=reply.usage.input_tokens,
                cached_input_tokens=reply.usage.cached_input_tokens,
                output_tokens=reply.usage.output_tokens,
            ),
            cost_usd=cost_usd(self._attempt.model, reply.usage),
            latency_seconds=reply.latency_seconds,
        )

    async def _act(self, state: ThreadState) -> ThreadUpdate:
        message = state["conversation"][-1]["said"]
        calls = message["calls"] if message["role"] == "assistant" else []
        outcomes = [await self._assignment.toolbox.call(call) for call in calls]
        self._note(state["turn"], [outcome.result for outcome in outcomes])
        progressed = any(not outcome.result["failed"] for outcome in outcomes)
        strikes = 0 if progressed else state["strikes"] + 1
        update: ThreadUpdate = {"conversation": [{"said": _answer(outcomes)}], "strikes": strikes}
        if self._assignment.place and any(outcome.changed for outcome in outcomes):
            checkpoint = self._assignment.place.save(state["turn"])
            if checkpoint != state["checkpoint"]:
                self._desk.ledger.attempts.checkpoint(self._attempt, checkpoint)
            update["checkpoint"] = checkpoint
        for outcome in outcomes:
            if outcome.finished is not None:
                update["draft"] = outcome.finished
        if strikes >= _STRIKES:
            update["stopped"] = f"{strikes} turns in a row achieved nothing"
        return update

    def _note(self, turn: int, results: list[ToolResult]) -> None:
        shown = [
            {"name": result["name"], "failed": result["failed"], "output": result["output"][:500]} for result in results
        ]
        self._desk.ledger.note(
            self._attempt.run_id,
            "tools.answered",
            payload={"attempt": self._attempt.id, "turn": turn, "results": shown},
        )

    def _check_budget(self) -> None:
        used, budget = self._desk.ledger.exchanges.usage(self._attempt.run_id), self._desk.budget
        if used.turns >= budget.turns:
            raise BudgetExceeded(f"the run has made the {budget.turns} model calls its budget allows")
        if used.tokens >= budget.tokens:
            raise BudgetExceeded(f"the run has used {used.tokens} of the {budget.tokens} tokens its budget allows")
        if budget.cost_usd is not None and used.cost_usd >= budget.cost_usd:
            raise BudgetExceeded(f"the run has cost {used.cost_usd:.2f} of the {budget.cost_usd:.2f} USD it may")


def _answer(outcomes: list[ToolOutcome]) -> Message:
    if not outcomes:
        return {"role": "user", "text": _NUDGE}
    return {"role": "tools", "results": [outcome.result for outcome in outcomes]}
