"""Requests of interrupt gates, which an agent raises in the middle of its work: a budget, a permission.

Made by the lifecycle, shown by the doors. This module knows neither.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import ConfigDict

from phasegate.infra.artifacts import Artifact
from phasegate.infra.policy.budgets import BudgetedName
from phasegate.infra.policy.gates import InterruptGate

_NAMES: dict[BudgetedName, str] = {
    "cost_usd": "US dollars",
    "tokens": "tokens",
    "turns": "model calls",
    "wall_clock": "agents' working time",
}


class BudgetIncreaseRequest(Artifact):
    """A budget that the next model call could break.

    Attributes:
        run: Whose agent wants to make the call.
        scope: Whether it is the run's budget, a stage's, or a day's of the repository.
        of: Which stage, or which day.
        what: What is limited. Amounts are US dollars, tokens, model calls or seconds.
        used: What is used up.
        expected: What is to be free for the next call.
        allowed: What may be used up, earlier grants included.
        grant: How much more an approval allows.
    """

    model_config = ConfigDict(title="Overrun")  # the name that `phasegate schema` prints
    kind: ClassVar[str] = "overrun"
    run: str
    scope: Literal["run", "stage", "day"]
    of: str
    what: BudgetedName
    used: float
    expected: float
    allowed: float
    grant: float

    @property
    def about(self) -> tuple[object, ...]:
        """Identity of the request; the amount used is left out, because it changes while a person thinks."""
        return (self.run, self.scope, self.of, self.what, self.allowed)

    def markdown(self) -> str:
        """The question as a person reads it at the gate."""
        whose = {
            "run": "this run",
            "stage": f"stage {self.of}",
            "day": f"all runs of the repository on {self.of} (UTC)",
        }
        return (
            f"The budget of {_NAMES[self.what]} for {whose[self.scope]} does not cover the next model call.\n\n"
            f"- used: **{self._shown(self.used)}** of {self._shown(self.allowed)}\n"
            f"- needed for the next model call: {self._shown(self.expected)}\n"
            f"- an approval grants **{self._shown(self.grant)}** more: {self._shown(self.allowed + self.grant)} in all "
            f"for {whose[self.scope]}\n- a rejection ends the run, and undoes what it did to the world\n"
        )

    def _shown(self, amount: float) -> str:
        match self.what:
            case "cost_usd":
                return f"${amount:.2f}" if amount >= 1 or not amount else f"${amount:.4f}"
            case "wall_clock":
                return str(timedelta(seconds=round(amount)))
            case _:
                return f"{round(amount):,}"


class PermissionRequested(Artifact):
    """A command that an agent wants to run, and that policy has a person asked about.

    Attributes:
        run: Whose agent.
        attempt: Which attempt's.
        stage: Its stage: for the rest of it a permission may hold.
        turn: In which turn.
        call: The model's call; a permission given once is for this one.
        command: The command line, whole.
        programs: All programs in it that policy asks about; empty when they are not known beforehand.
        reason: Which rule asks.
    """

    kind: ClassVar[str] = "permission-request"
    run: str
    attempt: str
    stage: str
    turn: int
    call: str
    command: str
    programs: tuple[str, ...]
    reason: str

    @property
    def about(self) -> tuple[object, ...]:
        """Identity of the request."""
        return (self.attempt, self.turn, self.call, self.command)

    def markdown(self) -> str:
        """The question as a person reads it at the gate."""
        text = f"The agent of stage {self.stage} wants to run, in turn {self.turn}:\n\n{_indented(self.command)}\n"
        text += f"Why you are asked: {self.reason}.\n\n"
        if self.programs:
            programs = "".join(_indented(program) for program in self.programs)
            text += f"`--for-stage` allows commands that start these, and nothing else to ask about:\n\n{programs}\n"
        else:
            text += "Its programs are known only once it runs: `--for-stage` allows exactly this line.\n\n"
        return text + "A rejection is told to the agent, with your note, and the run goes on.\n"


QUESTIONS: dict[InterruptGate, type[BudgetIncreaseRequest | PermissionRequested]] = {
    "budget": BudgetIncreaseRequest,
    "permission": PermissionRequested,
}
"""Gate to what it asks about."""


def _indented(text: str) -> str:
    """Text as a Markdown code block, which nothing in it can end."""
    return "".join(f"    {line}\n" for line in text.splitlines() or [""])
