"""Model that works on an attempt now: the attempt's own, or the fallback that took over from it.

The loop keeps one per attempt at work. The ledger's `model.replaced` events say which model it is, so an engine that
takes the attempt up after a crash asks the same one. A rehearsal asks the model that answered then.
"""

from __future__ import annotations

from typing import Any

from phasegate.agents.loop import ask_tool
from phasegate.agents.loop.assignment import Assignment
from phasegate.agents.loop.requests import Requests
from phasegate.agents.models.client import ModelClient
from phasegate.agents.models.names import ModelName
from phasegate.agents.models.windows import input_tokens
from phasegate.infra.errors import ModelDeclined, ModelLimited, ModelUnavailable, PhasegateError
from phasegate.infra.ledger import Ledger
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.events.catalogue import payload_of

REPLACES = (ModelUnavailable, ModelLimited, ModelDeclined)
"""Errors after which the next model takes over: out of reach on every try, limited, or unwilling."""
_RESUMED = ("resumed", "the attempt was resumed")
_AS_RECORDED = ("rehearsal", "as recorded")


class WorkingModel:
    """The model of an attempt, with its requests and its window.

    Attributes:
        attempt: The attempt, in the name of the model that answers now: budgets and prices go by that.
        client: Sends the requests.
        requests: Writes them.
        window: Tokens of input that the model takes.
        since: The turn from which on it answers; zero if it always has.
    """

    def __init__(self, assignment: Assignment[Any], ledger: Ledger) -> None:
        """Begin with the model that answered last, or with the attempt's own if the attempt has failed since."""
        self._assignment, self._ledger, self._own = assignment, ledger, assignment.attempt
        recorded = ledger.runs.get(self._own.run_id).rehearsed_run
        self._original = self._own.id_in(recorded) if recorded else ""
        self._clients = {self._own.model: lambda: assignment.client}
        self._clients |= {fallback.name: fallback.open for fallback in assignment.fallbacks}
        self._earlier: list[str] = []
        self._gives_back = ""
        self.since = 0
        self._use(self._own.model, assignment.client)
        self._restore()

    @property
    def name(self) -> str:
        """`provider:model`."""
        return self.attempt.model

    def prepare(self, turn: int) -> None:
        """Choose the model of a turn that is not answered yet.

        A resumed attempt goes back to its own model. A rehearsal takes the model that answered then.

        Effects:
            A `model.replaced` event if that is another one than before.
        """
        if self._gives_back:
            self._note(turn, self.name, self._gives_back, *_RESUMED)
            self._gives_back, self.since = "", turn
        then = self._ledger.exchanges.find(self._original, turn) if self._original else None
        if then is not None and then.model != self.name and then.model in self._clients:
            self._change(then.model, turn, *_AS_RECORDED)

    def replace(self, error: PhasegateError, turn: int) -> bool:
        """Ask the next model from a turn on.

        Args:
            error: The reason.
            turn: The first turn that the next model answers.

        Returns:
            False if there is no other model. The error then names the models before it, too.

        Effects:
            A `model.replaced` event. A model that cannot be opened raises, and nothing is recorded.
        """
        names = list(self._clients)
        following = names[names.index(self.name) + 1 :]
        if not following:
            if self._earlier:
                error.message = f"{error.message} (before it: {'; '.join(self._earlier)})"
            return False
        self._earlier.append(error.message)
        self._change(following[0], turn, error.code, error.message)
        return True

    def record_continues(self, turn: int) -> bool:
        """True in a rehearsal whose original made another turn after this one: a person had resumed it."""
        return bool(self._original) and self._ledger.exchanges.find(self._original, turn + 1) is not None

    def _restore(self) -> None:
        kinds = (EventKind.MODEL_REPLACED, EventKind.ATTEMPT_FAILED)
        for event in self._ledger.events(self._own.run_id, kinds=kinds):
            if event.payload["attempt"] != self._own.id:
                continue
            if event.kind == EventKind.ATTEMPT_FAILED:
                self._gives_back = self.name if self.name != self._own.model else self._gives_back
                self._earlier.clear()
                self._use(self._own.model, self._assignment.client)
                self.since = 0
                continue
            facts = payload_of(event, payloads.ModelReplaced)
            if (opened := self._clients.get(facts["model"])) is not None:
                self._use(facts["model"], opened())
                self._earlier = [] if facts["code"] == _RESUMED[0] else [*self._earlier, facts["why"]]
                self._gives_back, self.since = "", facts["turn"]

    def _change(self, model: str, turn: int, code: str, why: str) -> None:
        client, replaced = self._clients[model](), self.name
        self._note(turn, model, replaced, code, why)
        self._use(model, client)
        self.since = turn

    def _note(self, turn: int, model: str, replaced: str, code: str, why: str) -> None:
        payload = payloads.ModelReplaced(
            attempt=self._own.id, turn=turn, model=model, replaced=replaced, code=code, why=why
        )
        self._ledger.note(self._own.run_id, EventKind.MODEL_REPLACED, payload=payload)

    def _use(self, model: str, client: ModelClient) -> None:
        assignment = self._assignment
        specs = [*assignment.toolbox.specs, *([ask_tool.SPEC] if assignment.asks else [])]
        self.attempt, self.client = self._own.model_copy(update={"model": model}), client
        self.window = assignment.window or input_tokens(ModelName.parse(model))
        self.requests = Requests(client, assignment.prompt, specs, self._own.id)
