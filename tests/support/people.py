"""Executor whose runs are answered by people, for tests of gates."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from typing_extensions import override

from phasegate.flows.engine.executor import InProcessExecutor
from phasegate.flows.engine.wakeups import Decided
from phasegate.infra.identity import Person
from phasegate.infra.ledger import Gate, Ledger, Verdict
from phasegate.infra.settings import Settings

Answer = Callable[[Ledger, Gate], object]
"""A person's answer to an open gate."""


def decide(verdict: Verdict, person: Person, note: str = "") -> Answer:
    """A decision as the answer."""
    return lambda ledger, gate: ledger.gates.decide(gate.id, verdict, person, note=note)


class People(InProcessExecutor):
    """Executes a run in this process. At each wait, people give the next answers; a wait too many fails the test.

    Attributes:
        ledger: The ledger.
        answers: The answers that are left.
        asked: The gates at which the run has waited, in order.
    """

    def __init__(self, ledger: Ledger, *answers: Answer) -> None:
        """Expect to be asked as often as there are answers."""
        super().__init__()
        self.ledger, self.answers, self.asked = ledger, deque(answers), list[Gate]()

    @override
    async def wait_until(
        self, key: str, *, run_id: str, decided: Decided, settings: Settings, in_process: bool = False
    ) -> None:
        (gate,) = self.ledger.gates.waiting(run_id)
        self.asked.append(gate)
        while not decided():
            self.answers.popleft()(self.ledger, gate)
