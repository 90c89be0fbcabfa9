"""The agent loop of one stage attempt. The stages' agents call it; it knows no stage and no provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph  # pyright: ignore[reportMissingTypeStubs]  # no py.typed
from langgraph.graph.state import CompiledStateGraph  # pyright: ignore[reportMissingTypeStubs]  # no py.typed
from pydantic import BaseModel

from phasegate.agents.loop import ask_tool, stall_detection
from phasegate.agents.loop.budget import Budget
from phasegate.agents.loop.compaction import BYTES_PER_TOKEN, compacted_to
from phasegate.agents.loop.fork import TURN, next_step
from phasegate.agents.loop.interrupts import Interrupted, Interruptible, WakeSignal, no_signal
from phasegate.agents.loop.requests import Requests
from phasegate.agents.loop.state import Said, ThreadState, ThreadUpdate
from phasegate.agents.loop.threads import Threads
from phasegate.agents.loop.turns import TurnOutcome, apply, rebuild
from phasegate.agents.models.client import ModelClient
from phasegate.agents.models.conversation import JsonObject, Message, ToolCall, ToolResult, ToolSpec
from phasegate.agents.models.names import ModelName
from phasegate.agents.models.prices import cost_usd
from phasegate.agents.models.windows import input_tokens
from phasegate.agents.tools import Toolbox, ToolOutcome
from phasegate.infra.errors import AgentStopped, PermissionAsked
from phasegate.infra.ledger import Attempt, Exchange, Ledger, Usage
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.events.catalogue import payload_of

_NUDGE = "You called no tool. Go on with your tools, or hand in your result with `finish`."

_INTERRUPTED = "interrupted by a person's message, which follows; what it had changed by then stays"
_NOT_BEGUN = "not carried out: a person's message came first, and follows"

_SHOWN = 240
"""Characters of a tool's output that people who watch are told; the journal has all of it."""

Draft = TypeVar("Draft", bound=BaseModel)
Result = TypeVar("Result")
_Graph: TypeAlias = CompiledStateGraph[ThreadState, None, ThreadState, ThreadState]


class CheckpointStore(Protocol):
    """Port of checkpoints: the files an agent changes are saved turn by turn, and can be restored."""

    def save(self, turn: int) -> str:
        """Save the files as they are now, and return the commit that holds them."""
        ...

    def restore(self, commit: str) -> None:
        """Restore the files of a commit, and keep the replaced ones aside."""
        ...


@dataclass(frozen=True)
class AgentRuntime:
    """Resources that each agent run of this process shares.

    Attributes:
        ledger: Where model calls are recorded and messages wait.
        threads: Where threads are kept.
        budget: What the run may use up; asked before every model call.
        should_pause: True if a person asked for a pause; asked before every model call.
        wake_signal: Set when there may be a message that is not to wait for the turn's end.
    """

    ledger: Ledger
    threads: Threads
    budget: Budget
    should_pause: Callable[[], bool]
    wake_signal: WakeSignal = no_signal


@dataclass(frozen=True)
class Assignment(Generic[Draft]):
    """The work of one attempt.

    Attributes:
        attempt: The attempt; its id names the thread.
        prompt: The stage's standing instructions.
        brief: The task of this attempt.
        draft: The type of what is handed in.
        toolbox: The tools that the agent may call.
        client: The model.
        place: The store of the files it changes; None for an agent that only reads.
        asks: True if it may ask the person in charge.
        window: Tokens of input that the model takes; with zero, the default of `windows` applies.
    """

    attempt: Attempt
    prompt: str
    brief: str
    draft: type[Draft]
    toolbox: Toolbox
    client: ModelClient
    place: CheckpointStore | None = None
    asks: bool = False
    window: int = 0


async def run_agent(assignment: Assignment[Draft], runtime: AgentRuntime) -> Draft | None:
    """Run the agent until it hands in its draft.

    An interrupted attempt continues where it stopped: finished turns are not repeated.

    Returns:
        The draft, or None if a person asked for a pause.

    Raises:
        AgentStopped: Several turns in a row achieved nothing.
        BudgetExceeded: The next model call could break a budget.
        ModelUnavailable: The provider did not answer, tries included.
        PermanentError: The provider refused, or a rehearsal departed from its script.
        QuestionAsked: The agent waits for a person's answer. Once that is in the ledger, `run_agent` continues with it.
        PermissionAsked: A command waits for a person's permission, and nothing of its turn was done; likewise.

    Effects:
        One exchange per turn, keyed by attempt and turn. A repeat finds it and calls no model.
    """
    return await _AgentRun(assignment, runtime).run()


class _Paused(Exception):
    """Leaves the graph between two turns, for a pause."""


class _AgentRun(Generic[Draft]):
    def __init__(self, assignment: Assignment[Draft], runtime: AgentRuntime) -> None:
        self._assignment, self._runtime, self._attempt = assignment, runtime, assignment.attempt
        self._window = assignment.window or input_tokens(ModelName.parse(assignment.attempt.model))
        self._requests = Requests(assignment.client, assignment.prompt, _tools(assignment), assignment.attempt.id)
        self._thread: ThreadState = self._beginning()
        self._previous = b""
        self._resumes = True
        self._streamed = 0
        self._interrupted_then: dict[tuple[int, int], str] = {}
        self._interruptible = Interruptible(lambda: runtime.ledger.messages.calls_now(assignment.attempt))

    async def run(self) -> Draft | None:
        self._interrupted_then = self._recorded_interruptions()
        graph = self._graph()
        config: RunnableConfig = {"configurable": {"thread_id": self._attempt.id}}
        snapshot = await graph.aget_state(config)
        has_begun = snapshot.metadata is not None and snapshot.metadata.get("step", -1) >= 0
        held = cast("ThreadState", snapshot.values) if has_begun else None
        if held is None and snapshot.metadata is not None:  # cut off while LangGraph stored the beginning, in two steps
            await self._runtime.threads.adelete_thread(self._attempt.id)
        turns = self._runtime.ledger.turns.list(self._attempt.id, after=0 if held is None else held["turn"])
        self._thread = rebuild(held or self._beginning(), turns)
        if held is not None or turns:
            self._restore()
        else:
            self._thread["checkpoint"] = self._assignment.place.save(0) if self._assignment.place else ""
        if self._thread["draft"] is None:
            if held is not None and not snapshot.next:  # a thread that had ended, as those of 0.1 do when they stop
                await graph.aupdate_state(config, {"stopped": ""}, as_node=TURN)
            begin = None if held is not None else ThreadState(**self._thread)
            if begin is not None:
                begin["conversation"] = [*begin["conversation"]]
            try:
                with self._runtime.wake_signal() as signal, self._interruptible.watch(signal):
                    await graph.ainvoke(begin, config, durability="sync")  # pyright: ignore[reportUnknownMemberType,reportArgumentType]  # langgraph's
            except _Paused:
                return None
        return self._assignment.draft.model_validate(self._thread["draft"])

    def _beginning(self) -> ThreadState:
        """The state of a new thread: the brief and nothing else."""
        return {
            "conversation": [_said_by_user(self._assignment.brief)],
            "turn": 0,
            "strikes": 0,
            "checkpoint": "",
            "draft": None,
            "stopped": "",
        }

    def _restore(self) -> None:
        """Put the files back where the thread left them, and give an agent that was stopped a clean record."""
        if self._assignment.place:
            self._assignment.place.restore(self._thread["checkpoint"])
        if self._thread["stopped"]:
            self._thread["strikes"], self._thread["stopped"], self._thread["recent"] = 0, "", []

    def _graph(self) -> _Graph:
        graph = StateGraph(ThreadState)
        graph.add_node(TURN, self._turns)  # pyright: ignore[reportUnknownMemberType]  # langgraph's
        graph.add_edge(START, TURN)
        graph.add_conditional_edges(TURN, next_step)
        return graph.compile(checkpointer=self._runtime.threads)  # pyright: ignore[reportUnknownMemberType]  # as above

    async def _turns(self, state: ThreadState) -> ThreadUpdate:
        """Turn after turn until the agent hands in its draft: one step of the graph, for each turn is in the ledger."""
        thread, _ = self._thread, state  # what the graph was given, and all turns since then
        while thread["draft"] is None:
            await self._turn()
            if thread["stopped"]:
                raise AgentStopped(
                    f"the agent of stage {self._attempt.stage} was stopped: {thread['stopped']}",
                    remedy="See `phasegate logs RUN`; `phasegate resume RUN` lets it go on.",
                )
        return {"draft": thread["draft"]}

    async def _turn(self) -> None:
        """Steer, think, act."""
        if self._runtime.should_pause():
            raise _Paused
        thread, ledger = self._thread, self._runtime.ledger
        delivered, exchange = await self._think()
        reply = cast("Message", exchange.reply)
        outcomes = await self._act(exchange.turn, reply["calls"] if reply["role"] == "assistant" else [])
        outcome = self._outcome(delivered, reply, outcomes)
        outcome["compacted"] = compacted_to(
            [*thread["conversation"], *delivered, Said(said=reply), *outcome["after"]],
            outcome["compacted"],
            input_tokens=exchange.input_tokens,
            window=self._window,
        )
        if outcome["compacted"] != thread.get("compacted", 0):
            payload = payloads.ThreadCompacted(
                attempt=self._attempt.id, turn=exchange.turn, messages=outcome["compacted"]
            )
            ledger.note(self._attempt.run_id, EventKind.THREAD_COMPACTED, payload=payload)
        ledger.turns.conclude(self._attempt, exchange.turn, outcome, results=_shown(outcomes))
        apply(thread, exchange.turn, reply, outcome)

    async def _think(self) -> tuple[list[Said], Exchange]:
        """Deliver the waiting messages, and make this turn's model call; an interrupted call is made again."""
        thread, ledger = self._thread, self._runtime.ledger
        turn, compacted = thread["turn"] + 1, thread.get("compacted", 0)
        if self._resumes and (answered := ledger.exchanges.find(self._attempt.id, turn)) is not None:
            delivered = [_said_by_user(message.text) for message in ledger.messages.delivered(self._attempt, turn)]
            self._previous = self._requests.body([*thread["conversation"], *delivered], compacted)
            return delivered, answered
        self._resumes = False
        while True:
            delivered = [_said_by_user(message.text) for message in ledger.messages.deliver(self._attempt, turn)]
            body = self._requests.body([*thread["conversation"], *delivered], compacted)
            try:
                return delivered, await self._interruptible.run(self._ask(turn, body))
            except Interrupted:
                self._note_cut(turn, body)

    async def _ask(self, turn: int, body: bytes) -> Exchange:
        ledger = self._runtime.ledger
        if not self._previous and turn > 1:
            self._previous = (ledger.exchanges.request(self._attempt.id, turn - 1) or "").encode()
        with self._runtime.budget.call(self._attempt, body):
            self._streamed = 0
            reply = await self._assignment.client.send(body, on_text=self._count)
            previous, self._previous = self._previous, body
            return ledger.exchanges.record(
                self._attempt,
                turn,
                model=self._attempt.model,
                request=reply.request,
                previous=previous,
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

    async def _act(self, turn: int, calls: list[ToolCall]) -> list[ToolOutcome]:
        """Carry out the calls in their order, up to a person's message; later calls are not carried out."""
        answers = ask_tool.answers(self._runtime.ledger, self._attempt, turn, calls) if self._assignment.asks else {}
        self._require_permission(turn, calls)
        outcomes: list[ToolOutcome] = []
        interrupted = False
        for place, call in enumerate(calls):
            if (then := self._interrupted_then.get((turn, place))) is not None:
                outcomes.append(ToolOutcome(_not_done(call, then), changed=then == _INTERRUPTED))
            elif interrupted:
                outcomes.append(ToolOutcome(_not_done(call, _NOT_BEGUN)))
            elif call["id"] in answers:
                outcomes.append(ToolOutcome(answers[call["id"]]))
            else:
                try:
                    outcomes.append(await self._interruptible.run(self._assignment.toolbox.call(call)))
                except Interrupted:
                    interrupted = True
                    outcomes.append(ToolOutcome(_not_done(call, _INTERRUPTED), changed=True))
        return outcomes

    def _outcome(self, delivered: list[Said], reply: Message, outcomes: list[ToolOutcome]) -> TurnOutcome:
        """Sum up a turn: messages, the files' checkpoint, the draft, and the count of stalled turns."""
        thread, results = self._thread, [outcome.result for outcome in outcomes]
        recent = thread.get("recent", [])
        mark = stall_detection.fingerprint(reply["calls"] if reply["role"] == "assistant" else [], results)
        interrupted = any(result["output"] == _INTERRUPTED for result in results)
        achieved = interrupted or stall_detection.achieved(mark, results, recent)
        stalled_turns = 0 if achieved else thread["strikes"] + 1
        after = [Said(said=_answer(outcomes))]
        if stalled_turns == stall_detection.TELL_AFTER:
            after.append(_said_by_user(stall_detection.TOLD.format(turns=stalled_turns)))
        draft = next((outcome.finished for outcome in reversed(outcomes) if outcome.finished is not None), None)
        is_stopped = stalled_turns >= stall_detection.STOP_AFTER and draft is None
        return {
            "before": delivered,
            "after": after,
            "mark": mark,
            "strikes": stalled_turns,
            "checkpoint": self._checkpoint(outcomes),
            "draft": draft,
            "stopped": f"{stalled_turns} turns in a row achieved nothing" if is_stopped else "",
            "compacted": thread.get("compacted", 0),
        }

    def _checkpoint(self, outcomes: list[ToolOutcome]) -> str:
        """The commit that holds the files as this turn leaves them."""
        before = self._thread["checkpoint"]
        if self._assignment.place is None or not any(outcome.changed for outcome in outcomes):
            return before
        checkpoint = self._assignment.place.save(self._thread["turn"] + 1)
        if checkpoint != before:
            self._runtime.ledger.attempts.checkpoint(self._attempt, checkpoint)
        return checkpoint

    def _count(self, text: str) -> None:
        self._streamed += len(text)

    def _note_cut(self, turn: int, body: bytes) -> None:
        """Record that a call was cut, with an estimate of its usage: no provider tells what such a call used."""
        estimate = {
            "input_tokens": len(body) // BYTES_PER_TOKEN,
            "output_tokens": self._streamed // BYTES_PER_TOKEN,
        }
        payload = payloads.TurnCut(attempt=self._attempt.id, turn=turn, usage="unknown", estimate=estimate)
        self._runtime.ledger.note(self._attempt.run_id, EventKind.TURN_CUT, payload=payload)

    def _recorded_interruptions(self) -> dict[tuple[int, int], str]:
        """Answers of interrupted calls in the run that is rehearsed, by turn and place."""
        ledger = self._runtime.ledger
        if (recorded := ledger.runs.get(self._attempt.run_id).rehearsed_run) is None:
            return {}
        original = self._attempt.id_in(recorded)
        events = ledger.events(recorded, kinds=(EventKind.TOOLS_ANSWERED,))
        return {
            (payload["turn"], place): result["output"]
            for payload in (payload_of(event, payloads.ToolsAnswered) for event in events)
            if payload["attempt"] == original
            for place, result in enumerate(payload["results"])
            if result["output"] in {_INTERRUPTED, _NOT_BEGUN}
        }

    def _require_permission(self, turn: int, calls: list[ToolCall]) -> None:
        """Raise `PermissionAsked` before any call of the turn if one of them needs a person's permission."""
        for call in calls:
            if (request := self._assignment.toolbox.pending_permission(call)) is not None:
                raise PermissionAsked(
                    f"the agent of stage {self._attempt.stage} asks to run: {request.command}",
                    attempt=self._attempt.id,
                    turn=turn,
                    call=request.call_id,
                    command=request.command,
                    programs=request.programs,
                    reason=request.reason,
                )


def _tools(assignment: Assignment[Any]) -> list[ToolSpec]:
    return [*assignment.toolbox.specs, *([ask_tool.SPEC] if assignment.asks else [])]


def _said_by_user(text: str) -> Said:
    return {"said": {"role": "user", "text": text}}


def _not_done(call: ToolCall, why: str) -> ToolResult:
    return {"id": call["id"], "name": call["name"], "output": why, "failed": True}


def _shown(outcomes: list[ToolOutcome]) -> list[JsonObject]:
    """Tool outputs for people who watch, abridged to their beginning and their end."""
    return [
        {"name": result["name"], "failed": result["failed"], "output": _abridged(result["output"])}
        for result in (outcome.result for outcome in outcomes)
    ]


def _abridged(output: str) -> str:
    short = output if len(output) <= _SHOWN else f"{output[: _SHOWN // 2]}…\n…{output[-_SHOWN // 2 :]}"
    return short.encode("utf-8", "replace").decode()


def _answer(outcomes: list[ToolOutcome]) -> Message:
    if not outcomes:
        return {"role": "user", "text": _NUDGE}
    return {"role": "tools", "results": [outcome.result for outcome in outcomes]}
