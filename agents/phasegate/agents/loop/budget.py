"""Budgets of a run's agents, checked against the expected usage of the next model call (P12).

The loop checks before every call. This module does not know who raises a budget, or how a person is asked.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal, Protocol

from phasegate.agents.models.conversation import TokenUsage as Tokens
from phasegate.agents.models.names import ModelName
from phasegate.agents.models.prices import cost_usd
from phasegate.agents.models.windows import output_tokens
from phasegate.infra.errors import BudgetExceeded
from phasegate.infra.ledger import Attempt, Ledger, Usage
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.policy.budgets import BudgetedName, BudgetPolicy, LimitsPolicy

Scope = Literal["run", "stage", "day"]
What = BudgetedName

_BYTES_PER_TOKEN = 4
_RESERVED = 0.1
"""The share of a budget that is kept free for one answer at most; else a small budget would let no call be made."""
_AGENTS_OWN = frozenset(
    {EventKind.ATTEMPT_STARTED, EventKind.TURN_ANSWERED, EventKind.TOOLS_ANSWERED, EventKind.TURN_CUT}
)


class Budget(Protocol):
    """Limits on what a run's agents may use."""

    def call(self, attempt: Attempt, request: bytes) -> AbstractContextManager[None]:
        """Is entered to make one model call, and left when that is in the ledger.

        Raises:
            BudgetExceeded: The call is not to be made.
        """
        ...


class NoBudget:
    """For calls that cost nothing, such as those a rehearsal repeats."""

    @contextmanager
    def call(self, attempt: Attempt, request: bytes) -> Generator[None]:
        """Permit every call."""
        yield


@dataclass(frozen=True)
class Grant:
    """An increase that a person allowed over policy's budget.

    Attributes:
        scope: The budget that is increased.
        of: Its stage, or its day.
        what: The measure that is increased.
        amount: US dollars, tokens, turns or seconds.
    """

    scope: Scope
    of: str
    what: What
    amount: float


@dataclass(frozen=True)
class Expected:
    """Expected usage of one model call.

    The input is estimated by its size, as if none of it were cached. The answer is taken to be the model's longest.

    Attributes:
        input_tokens: A token for every four bytes of the request.
        output_tokens: The model's longest answer.
        input_usd: The cost of the input; zero if the price is not known.
        output_usd: The cost of the answer; zero if the price is not known.
    """

    input_tokens: int
    output_tokens: int
    input_usd: float
    output_usd: float

    @classmethod
    def of(cls, model: str, request: bytes) -> Expected:
        """Estimate the usage of sending a request to a model."""
        sent, answered = len(request) // _BYTES_PER_TOKEN + 1, output_tokens(ModelName.parse(model))
        whole = cost_usd(model, Tokens(input_tokens=sent, cached_input_tokens=0, output_tokens=answered)) or 0.0
        input_usd = cost_usd(model, Tokens(input_tokens=sent, cached_input_tokens=0, output_tokens=0)) or 0.0
        return cls(sent, answered, input_usd, whole - input_usd)

    def uses(self, what: What, budget: float) -> float:
        """The amount of a budget that must be free for the call."""
        amounts: Mapping[What, tuple[float, float]] = {
            "cost_usd": (self.input_usd, self.output_usd),
            "tokens": (self.input_tokens, self.output_tokens),
            "turns": (1, 0),
            "wall_clock": (0, 0),
        }
        sent, answered = amounts[what]
        return sent + min(answered, _RESERVED * budget)


@dataclass
class RunBudget:
    """The budgets of one run: its own, those of its stages, and those of a day in its repository.

    Attributes:
        ledger: The usage so far.
        policy: The limits.
        grants: The increases that people allowed in this run.
    """

    ledger: Ledger
    policy: BudgetPolicy
    grants: Sequence[Grant] = ()
    _under_way: dict[str, Expected] = field(default_factory=dict[str, Expected])
    _times: dict[str, _WorkingTime] = field(default_factory=dict[str, "_WorkingTime"])

    @contextmanager
    def call(self, attempt: Attempt, request: bytes) -> Generator[None]:
        """As `Budget.call`; calls of the run's other agents that are under way count as made.

        Raises:
            BudgetExceeded: The call could break a budget. `context` names the budget, for the interrupt gate.
        """
        expected = Expected.of(attempt.model, request)
        for scope, of, table in self._tables(attempt):
            self._require(attempt, expected, scope, of, table)
        self._under_way[attempt.id] = expected
        try:
            yield
        finally:
            del self._under_way[attempt.id]

    def _tables(self, attempt: Attempt) -> Iterator[tuple[Scope, str, LimitsPolicy]]:
        yield "run", "", self.policy
        yield "stage", attempt.stage, self.policy.stages.named(attempt.stage)
        yield "day", f"{self.ledger.now():%Y-%m-%d}", self.policy.day

    def _require(self, attempt: Attempt, expected: Expected, scope: Scope, of: str, table: LimitsPolicy) -> None:
        limits = table.limits
        if not limits:
            return
        used = self._used(attempt, scope, wall_clock="wall_clock" in limits)
        for what, budget in limits.items():
            granted = (
                increase.amount
                for increase in self.grants
                if (increase.scope, increase.of, increase.what) == (scope, of, what)
            )
            allowed = budget + sum(granted)
            others = self._beside(attempt, scope, what, budget)
            needed = expected.uses(what, budget)
            spent = used[what] + others
            if spent < allowed and spent + needed <= allowed:
                continue
            grant = budget * max(1, math.ceil((spent + needed - allowed) / budget))
            raise BudgetExceeded(
                f"the next model call could break the {_named(scope, of)} of {_amount(what, allowed)}: "
                f"{_amount(what, spent)} are used",
                run=attempt.run_id,
                scope=scope,
                of=of,
                what=what,
                used=spent,
                expected=needed,
                allowed=allowed,
                grant=grant,
            )

    def _used(self, attempt: Attempt, scope: Scope, *, wall_clock: bool) -> Mapping[str, float]:
        exchanges = self.ledger.exchanges
        used: Usage
        match scope:
            case "run":
                used = exchanges.usage(attempt.run_id)
            case "stage":
                used = exchanges.usage(attempt.run_id, stage=attempt.stage)
            case "day":
                used = exchanges.usage_since(attempt.run_id, _midnight(self.ledger.now()))
        seconds = self._worked(attempt, scope) if wall_clock else 0.0
        return {"cost_usd": used.cost_usd, "tokens": used.tokens, "turns": used.turns, "wall_clock": seconds}

    def _worked(self, attempt: Attempt, scope: Scope) -> float:
        match scope:
            case "run":
                return self._time_of(attempt.run_id).seconds()
            case "stage":
                return self._time_of(attempt.run_id).seconds(stage=attempt.stage)
            case "day":
                now = self.ledger.now()
                runs = {attempt.run_id, *self.ledger.exchanges.runs_since(attempt.run_id, _midnight(now))}
                return sum(self._time_of(run).seconds(day=now.date()) for run in runs)

    def _time_of(self, run_id: str) -> _WorkingTime:
        return self._times.setdefault(run_id, _WorkingTime(self.ledger, run_id))

    def _beside(self, attempt: Attempt, scope: Scope, what: What, budget: float) -> float:
        """The expected usage of calls that the run's other agents are making now."""
        if scope == "stage":
            return 0.0
        return sum(expected.uses(what, budget) for name, expected in self._under_way.items() if name != attempt.id)


class _WorkingTime:
    """Working time of a run's agents: model calls and tool calls, summed over the agents.

    It is the time between two consecutive events of an attempt. The time before `attempt.started` does not count: a
    person was thinking then, or no engine was running.
    """

    def __init__(self, ledger: Ledger, run_id: str) -> None:
        self._ledger, self._run_id, self._position = ledger, run_id, 0
        self._last: dict[str, datetime] = {}
        self._worked = defaultdict[tuple[str, date], timedelta](timedelta)

    def seconds(self, *, stage: str = "", day: date | None = None) -> float:
        """The time of a stage's agents, of all when none is named; on one day (UTC), if one is named."""
        for event in self._ledger.events(self._run_id, after=self._position):
            self._position = event.position
            if event.kind not in _AGENTS_OWN:
                continue
            attempt = str(event.payload["attempt"])
            if attempt in self._last and event.kind != EventKind.ATTEMPT_STARTED:
                self._add(AttemptId.parse(attempt).stage, self._last[attempt], event.at)
            self._last[attempt] = event.at
        times = [
            worked for (name, on), worked in self._worked.items() if stage in {"", name} and (day is None or on == day)
        ]
        return sum(worked.total_seconds() for worked in times)

    def _add(self, stage: str, since: datetime, until: datetime) -> None:
        """Add what an agent worked without a break, each day's part to that day."""
        while since < until:
            part = min(until, _midnight(since) + timedelta(days=1))
            self._worked[stage, since.date()] += part - since
            since = part


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _named(scope: Scope, of: str) -> str:
    return {"run": "run's budget", "stage": f"budget for stage {of}", "day": f"repository's budget for {of} (UTC)"}[
        scope
    ]


def _amount(what: What, amount: float) -> str:
    match what:
        case "cost_usd":
            return f"{amount:.2f} USD"
        case "wall_clock":
            return f"{timedelta(seconds=round(amount))} of work"
        case _:
            return f"{round(amount):,} {what}"
