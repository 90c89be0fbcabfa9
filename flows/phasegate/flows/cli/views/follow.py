"""Following of a run in the ledger until it stops, or until no engine is up to continue it.

Used by `run`, `watch`, `logs --follow`, `--wait` and the demo. It polls: the ledger is a file, and a quarter of a
second is quick for a person. It shows nothing itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from phasegate.flows.views.report import EXIT_CODES
from phasegate.infra.errors import EngineUnavailable
from phasegate.infra.ledger import STOPPED, Event, Ledger, Run

POLL_SECONDS = 0.25
_ENGINE_CHECK_SECONDS = 1.0
_ENGINE_MISSES = 2  # one miss may be an engine that is just being restarted


class FollowInterrupted(KeyboardInterrupt):
    """Ctrl-C while a run is followed; the run continues."""


class Watcher(Protocol):
    """Port to the display of a run while it is followed."""

    def see(self, run: Run, news: list[Event]) -> None:
        """Called at every look at the ledger, also when there is no news."""
        ...


@dataclass
class Follower:
    """Reads one run from the ledger, again and again.

    Attributes:
        ledger: The ledger.
        run_id: The run.
        engine_alive: Tells if an engine is up to continue the run.
        position: The last event seen.
    """

    ledger: Ledger
    run_id: str
    engine_alive: Callable[[], bool]
    position: int = 0
    _misses: int = field(default=0, init=False)
    _checked_at: float = field(default=0.0, init=False)

    def until_stopped(self, watcher: Watcher) -> Run:
        """Show all news until the run ends, waits for a person, or was paused.

        Raises:
            EngineUnavailable: The run could continue, but no engine is up any more.
            Interrupted: Ctrl-C; the run continues.
        """
        try:
            while True:
                run = self.look(watcher)
                if self.stopped(run):
                    self.look(watcher)  # what was written between the two reads of the last look
                    return run
                self._check_engine(run)
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt as error:
            raise FollowInterrupted(
                f"The run goes on without you. Follow it with `phasegate watch {self.run_id}`."
            ) from error

    def look(self, watcher: Watcher) -> Run:
        """Show the new events, once."""
        run = self.ledger.runs.get(self.run_id)
        news = self.ledger.events(self.run_id, after=self.position)
        if news:
            self.position = news[-1].position
        watcher.see(run, news)
        return run

    def stopped(self, run: Run) -> bool:
        """True if nothing more happens until a person acts."""
        if run.status == "waiting":
            return bool(self.ledger.questions.open(run.id) or self.ledger.gates.waiting(run.id))
        return run.status in STOPPED or EXIT_CODES[run.status] is not None

    def _check_engine(self, run: Run) -> None:
        now = time.monotonic()
        if now - self._checked_at < _ENGINE_CHECK_SECONDS:
            return
        self._checked_at = now
        self._misses = 0 if self.engine_alive() else self._misses + 1
        if self._misses >= _ENGINE_MISSES:
            raise EngineUnavailable(
                f"The engine is gone. Run {run.id} is safe in the ledger; nothing it finished is lost.",
                remedy=f"Continue with `phasegate up --detach`, then `phasegate watch {run.id}`.",
                run=run.id,
            )
