"""Assignment of an agent: the work of one attempt, and the resources that each agent run of this process shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

from phasegate.agents.loop.budget import Budget
from phasegate.agents.loop.interrupts import WakeSignal, no_signal
from phasegate.agents.loop.threads import Threads
from phasegate.agents.models.client import ModelClient
from phasegate.agents.tools.toolbox import Toolbox
from phasegate.infra.ledger import Attempt, Ledger

Draft = TypeVar("Draft", bound=BaseModel)


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
class FallbackModel:
    """A model that takes over when the one before it is down, limited, or refuses.

    Attributes:
        name: `provider:model`.
        open: Opens its client; called when it takes over.
    """

    name: str
    open: Callable[[], ModelClient]


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
        fallbacks: The models that take over from it, in their order.
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
    fallbacks: tuple[FallbackModel, ...] = ()
    place: CheckpointStore | None = None
    asks: bool = False
    window: int = 0
