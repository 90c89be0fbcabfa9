"""The agent loop of one stage attempt. The stages' agents call it; it knows no stage and no provider."""

from __future__ import annotations

from functools import partial
from typing import Generic, TypeAlias, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph  # pyright: ignore[reportMissingTypeStubs]  # no py.typed
from langgraph.graph.state import CompiledStateGraph  # pyright: ignore[reportMissingTypeStubs]  # no py.typed
from pydantic import BaseModel

from phasegate.agents.loop import answer_rules, ask_tool, stall_detection
from phasegate.agents.loop.assignment import AgentRuntime, Assignment
from phasegate.agents.loop.compaction import BYTES_PER_TOKEN, compacted_to
from phasegate.agents.loop.fork import TURN, next_step
from phasegate.agents.loop.interrupts import Interrupted, Interruptible
from phasegate.agents.loop.state import Said, ThreadState, ThreadUpdate
from phasegate.agents.loop.turns import TurnOutcome, apply, rebuild, shown_results
from phasegate.agents.loop.working_model import REPLACES, WorkingModel
from phasegate.agents.models.conversation import AssistantMessage, Message, ToolCall, ToolResult
from phasegate.agents.models.failures import declined
from phasegate.agents.models.prices import cost_usd
from phasegate.agents.models.stops import Stop
from phasegate.agents.tools.toolbox import ToolOutcome
from phasegate.infra.errors import AgentStopped, PermissionAsked
from phasegate.infra.ledger import Exchange, Usage
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.events.catalogue import payload_of
from phasegate.infra.system.threads import uninterrupted

_NUDGE = "You called no tool. Go on with your tools, or hand in your result with `finish`."

_INTERRUPTED = "interrupted by a person's message, which follows; what it had changed by then stays"
_NOT_BEGUN = "not carried out: a person's message came first, and follows"

Draft = TypeVar("Draft", bound=BaseModel)
Result = TypeVar("Result")
_Graph: TypeAlias = CompiledStateGraph[ThreadState, None, ThreadState, ThreadState]


async def run_agent(assignment: Assignment[Draft], runtime: AgentRuntime) -> Draft | None:
    """Run the agent until it hands in its draft.

    An interrupted attempt continues where it stopped: finished turns are not repeated.

    Returns:
        The draft, or None if a person asked for a pause.

    Raises:
        AgentStopped: Several turns in a row achieved nothing, or two answers in a row were cut.
        ModelDeclined: The model refused to answer, and so did its fallbacks.
        ModelLimited: The limit of the model's account is reached, and no fallback is left.
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
        self._model = WorkingModel(assignment, runtime.ledger)
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
            self._clear_record()

    def _clear_record(self) -> None:
        thread = self._thread
        thread["strikes"], thread["stopped"], thread["recent"], thread["cuts"] = 0, "", [], 0

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
            if thread["stopped"] and self._model.record_continues(thread["turn"]):
                self._clear_record()
            if thread["stopped"]:
                raise AgentStopped(
                    f"the agent of stage {self._attempt.stage} was stopped: {thread['stopped']}",
                    remedy="See `phasegate logs RUN`; `phasegate resume RUN` lets it go on, "
                    'and `phasegate steer RUN "…"` tells it how.',
                )
        return {"draft": thread["draft"]}

    async def _turn(self) -> None:
        """Steer, think, act."""
        if self._runtime.should_pause():
            raise _Paused
        thread, ledger = self._thread, self._runtime.ledger
        delivered, exchange = await self._think()
        reply = cast("AssistantMessage", exchange.reply)
        if (stop := reply.get("stop")) is not None and stop["kind"] == "refused":
            self._conclude_refused(delivered, exchange, reply, stop)
            return
        outcomes = await self._act(exchange.turn, reply)
        outcome = await uninterrupted(partial(self._outcome, delivered, reply, outcomes))
        outcome["compacted"] = compacted_to(
            [*thread["conversation"], *delivered, Said(said=reply), *outcome["after"]],
            outcome["compacted"],
            input_tokens=exchange.input_tokens,
            window=self._model.window,
        )
        self._note_compacted(exchange.turn, outcome["compacted"])
        results = shown_results(outcomes)
        await uninterrupted(partial(ledger.turns.conclude, self._attempt, exchange.turn, outcome, results=results))
        apply(thread, exchange.turn, reply, outcome)

    def _conclude_refused(self, delivered: list[Said], exchange: Exchange, reply: AssistantMessage, stop: Stop) -> None:
        """End a turn whose answer was refused: the next model is asked, and without one the agent is stopped.

        Raises:
            ModelDeclined: There is no other model.
        """
        thread, turn = self._thread, exchange.turn
        error = declined(exchange.model, stop)
        is_replaced = exchange.model != self._model.name or self._model.record_continues(turn)
        continues = is_replaced or self._model.replace(error, turn + 1)
        outcome: TurnOutcome = {
            "before": delivered,
            "after": [],
            "mark": "",
            "strikes": thread["strikes"],
            "checkpoint": thread["checkpoint"],
            "draft": None,
            "stopped": "" if continues else error.message,
            "compacted": thread.get("compacted", 0),
        }
        self._runtime.ledger.turns.conclude(self._attempt, turn, outcome, results=[])
        apply(thread, turn, reply, outcome)
        if not continues:
            raise error

    async def _think(self) -> tuple[list[Said], Exchange]:
        """Deliver the waiting messages, and make this turn's model call.

        An interrupted call is made again. A model that is down, limited or unwilling is replaced, if there is another.
        """
        thread, ledger = self._thread, self._runtime.ledger
        turn = thread["turn"] + 1
        if self._resumes and (answered := ledger.exchanges.find(self._attempt.id, turn)) is not None:
            delivered = [_said_by_user(message.text) for message in ledger.messages.delivered(self._attempt, turn)]
            body = self._body(turn, delivered)
            self._previous = body if answered.model == self._model.name else b""
            return delivered, answered
        self._resumes = False
        self._model.prepare(turn)
        while True:
            delivered = [_said_by_user(message.text) for message in ledger.messages.deliver(self._attempt, turn)]
            body = await uninterrupted(partial(self._body, turn, delivered))
            try:
                return delivered, await self._interruptible.run(self._ask(turn, body))
            except Interrupted:
                if (answered := ledger.exchanges.find(self._attempt.id, turn)) is not None:
                    return delivered, answered  # the answer was being recorded when the person called
                self._note_cut(turn, body)
            except REPLACES as error:
                if not self._model.replace(error, turn):
                    raise

    def _body(self, turn: int, delivered: list[Said]) -> bytes:
        """The request of a turn; room is made if a model with a smaller window has just taken over."""
        thread, requests = self._thread, self._model.requests
        conversation, compacted = [*thread["conversation"], *delivered], thread.get("compacted", 0)
        body = requests.body(conversation, compacted)
        if turn != self._model.since:
            return body
        tokens = len(body) // BYTES_PER_TOKEN
        room = compacted_to(conversation, compacted, input_tokens=tokens, window=self._model.window)
        if room == compacted:
            return body
        self._note_compacted(turn, room)
        thread["compacted"] = room
        return requests.body(conversation, room)

    def _note_compacted(self, turn: int, messages: int) -> None:
        if messages != self._thread.get("compacted", 0):
            payload = payloads.ThreadCompacted(attempt=self._attempt.id, turn=turn, messages=messages)
            self._runtime.ledger.note(self._attempt.run_id, EventKind.THREAD_COMPACTED, payload=payload)

    async def _ask(self, turn: int, body: bytes) -> Exchange:
        ledger = self._runtime.ledger
        if not self._previous and turn > 1:
            self._previous = (ledger.exchanges.request(self._attempt.id, turn - 1) or "").encode()
        working = self._model.attempt
        with self._runtime.budget.call(working, body):
            self._streamed = 0
            reply = await self._model.client.send(body, on_text=self._count)
            previous, self._previous = self._previous, body
            record = partial(
                ledger.exchanges.record,
                working,
                turn,
                model=working.model,
                request=reply.request,
                previous=previous,
                reply=dict(reply.message),
                response=reply.response,
                usage=Usage(
                    input_tokens=reply.usage.input_tokens,
                    cached_input_tokens=reply.usage.cached_input_tokens,
                    output_tokens=reply.usage.output_tokens,
                ),
                cost_usd=cost_usd(working.model, reply.usage),
                latency_seconds=reply.latency_seconds,
            )
            return await uninterrupted(record)

    async def _act(self, turn: int, reply: AssistantMessage) -> list[ToolOutcome]:
        """Carry out the calls in their order, up to a person's message; later calls are not carried out."""
        calls = reply["calls"]
        if why := answer_rules.withheld(reply):
            return [ToolOutcome(_not_done(call, f"not carried out: {why}")) for call in calls]
        ledger, working = self._runtime.ledger, self._model.attempt
        answers = ask_tool.answers(ledger, working, turn, calls) if self._assignment.asks else {}
        await uninterrupted(partial(self._require_permission, turn, calls))
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

    def _outcome(self, delivered: list[Said], reply: AssistantMessage, outcomes: list[ToolOutcome]) -> TurnOutcome:
        """Sum up a turn: messages, the files' checkpoint, the draft, and the count of stalled turns."""
        thread, results = self._thread, [outcome.result for outcome in outcomes]
        recent = thread.get("recent", [])
        mark = stall_detection.fingerprint(reply["calls"], results)
        interrupted = any(result["output"] == _INTERRUPTED for result in results)
        achieved = interrupted or stall_detection.achieved(mark, results, recent)
        stalled_turns = 0 if achieved else thread["strikes"] + 1
        after = [Said(said=_answer(reply, outcomes))]
        if stalled_turns == stall_detection.TELL_AFTER:
            after.append(_said_by_user(stall_detection.TOLD.format(turns=stalled_turns)))
        draft = next((outcome.finished for outcome in reversed(outcomes) if outcome.finished is not None), None)
        cuts = answer_rules.cuts_in_a_row(reply, thread.get("cuts", 0))
        outcome: TurnOutcome = {
            "before": delivered,
            "after": after,
            "mark": mark,
            "strikes": stalled_turns,
            "checkpoint": self._checkpoint(outcomes),
            "draft": draft,
            "stopped": "" if draft is not None else self._why_stopped(reply, stalled_turns, cuts),
            "compacted": thread.get("compacted", 0),
        }
        if cuts:
            outcome["cuts"] = cuts
        return outcome

    def _why_stopped(self, reply: AssistantMessage, stalled_turns: int, cuts: int) -> str:
        if cuts >= answer_rules.STOP_AFTER_CUTS and (stop := reply.get("stop")) is not None:
            return f"{cuts} answers of {self._model.name} in a row were cut off ({stop['word']})"
        return f"{stalled_turns} turns in a row achieved nothing" if stalled_turns >= stall_detection.STOP_AFTER else ""

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


def _said_by_user(text: str) -> Said:
    return {"said": {"role": "user", "text": text}}


def _not_done(call: ToolCall, why: str) -> ToolResult:
    return {"id": call["id"], "name": call["name"], "output": why, "failed": True}


def _answer(reply: AssistantMessage, outcomes: list[ToolOutcome]) -> Message:
    if not outcomes:
        return {"role": "user", "text": answer_rules.withheld(reply) or _NUDGE}
    return {"role": "tools", "results": [outcome.result for outcome in outcomes]}
