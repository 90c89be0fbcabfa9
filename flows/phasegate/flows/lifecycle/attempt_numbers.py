"""Numbers of a run's attempts: each pass counts from the start again, so it gets the numbers of the pass before."""

from __future__ import annotations

from collections import Counter
from functools import cached_property

from phasegate.infra.ledger import Ledger, Run


class AttemptNumbers:
    """Numbers of the attempts in one pass over the pipeline."""

    def __init__(self, record: Run, ledger: Ledger) -> None:
        """Begin every stage at its first attempt.

        Args:
            record: The run.
            ledger: The ledger, which knows the attempts that a rewind discarded.
        """
        self._record, self._ledger = record, ledger
        self._numbers = Counter[tuple[str, str]]()

    def next(self, stage: str, part: str = "") -> int:
        """The number of the next attempt, skipping those that a rewind discarded."""
        self._numbers[stage, part] += 1
        while (stage, part, self._numbers[stage, part]) in self._superseded:
            self._numbers[stage, part] += 1
        return self._numbers[stage, part]

    def resume_at(self, stage: str, number: int, part: str = "") -> None:
        """Number the next attempt of a stage, for example after adopted attempts of an earlier run."""
        self._numbers[stage, part] = max(self._numbers[stage, part], number - 1)

    @cached_property
    def _superseded(self) -> set[tuple[str, str, int]]:
        origin = self._record.origin
        earlier = self._ledger.attempts.list(origin.run) if origin else []
        attempts = [*self._ledger.attempts.list(self._record.id), *earlier]
        return {(attempt.stage, attempt.part, attempt.number) for attempt in attempts if attempt.superseded}
