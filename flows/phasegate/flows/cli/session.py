"""Session of a command: the settings, the ledger, and the person at the keyboard."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from phasegate.flows.cli.output import say
from phasegate.infra.clock import SystemClock
from phasegate.infra.errors import NotFound, UsageError
from phasegate.infra.git_folder import common_git_folder
from phasegate.infra.identity import Person, local_person
from phasegate.infra.ledger import STOPPED, Gate, Ledger, Run
from phasegate.infra.settings import Settings

_SECONDS = 100
"""Seconds up to which a length of time is told in seconds."""


@dataclass(frozen=True)
class Session:
    """The ledger as one command uses it."""

    settings: Settings
    ledger: Ledger

    @cached_property
    def person(self) -> Person:
        """The person who gives the command."""
        return local_person()

    def run(self, reference: str) -> Run:
        """The run a person means: an id, the beginning of one, or `latest`.

        In a repository `latest` is the newest run of that repository; outside one, the newest of all.

        Raises:
            NotFound: No run matches.
            UsageError: Several do.
        """
        here = common_git_folder(Path.cwd()) if reference == "latest" else None
        if here is None:
            return self.ledger.runs.find(reference)
        repositories = self.ledger.runs.repositories()
        own = next((path for path in repositories if common_git_folder(Path(path)) == here), None)
        newest = next(iter(repositories.values()), None)
        if own is None and newest is not None:
            raise NotFound(
                "this repository has no runs",
                remedy=f"The newest run of {next(iter(repositories))} is {newest}: name a run by its id.",
            )
        if own is None:
            return self.ledger.runs.find(reference)
        if repositories[own] != newest:
            say(f"The latest run of this repository is {repositories[own]}; {newest} is newer.", as_json=True)
        return self.ledger.runs.get(repositories[own])

    def gate(self, run: Run, name: str | None) -> Gate:
        """The open gate a person means.

        Raises:
            UsageError: No gate, or not this one, or more than one is open.
        """
        waiting = self.ledger.gates.waiting(run.id)
        matching = [gate for gate in waiting if name in {None, gate.gate}]
        if len(matching) == 1:
            return matching[0]
        if matching:
            names = ", ".join(gate.gate for gate in matching)
            raise UsageError(f"run {run.id} waits at several gates: {names}", remedy="Name the gate you mean.")
        if waiting:
            names = ", ".join(gate.gate for gate in waiting)
            raise UsageError(f"run {run.id} does not wait at gate {name}, but at {names}", gate=str(name))
        last = next((gate for gate in reversed(self.ledger.gates.list(run.id)) if name in {None, gate.gate}), None)
        if last is not None and last.status == "outdated":
            raise UsageError(
                f"gate {last.gate} of run {run.id} was closed: {self.ledger.gates.stale_reason(last)}",
                remedy=f"See what is asked next with `phasegate watch {run.id}`.",
            )
        if self.ledger.questions.open(run.id):
            raise UsageError(
                f"run {run.id} waits for an answer, not at a gate",
                remedy=f'Answer what its agent asks: phasegate answer {run.id} "…"',
            )
        if run.status not in STOPPED and last is not None and (decision := self._last_decision(last)):
            raise UsageError(
                f"gate {last.gate} of run {run.id} is {last.status}: {decision}. No gate is open now.",
                remedy=f"Follow the run with `phasegate watch {run.id}`.",
            )
        at = f"at gate {name}" if name else "at a gate"
        raise UsageError(
            f"run {run.id} is {run.status} and does not wait {at}", remedy=f"See it with `phasegate show {run.id}`."
        )

    def _last_decision(self, gate: Gate) -> str:
        """Verdict, person and time of a closed gate's last decision."""
        decisions = [item for item in self.ledger.gates.decisions(gate.run_id) if item.gate_id == gate.id]
        if not decisions:
            return ""
        last, word = decisions[-1], {"approve": "approved", "revise": "sent back", "reject": "rejected"}
        seconds = (SystemClock().now() - last.decided_at).total_seconds()
        age = f"{seconds:.0f} s" if seconds < _SECONDS else f"{seconds / 60:.0f} min"
        return f"{last.approver} {word[last.verdict]} it {age} ago"


@contextmanager
def opened() -> Generator[Session]:
    """Open the ledger of this machine for one command.

    Raises:
        ConfigError: The settings do not hold, or a newer phasegate wrote the ledger.
    """
    settings = Settings.from_environment(os.environ)
    ledger = Ledger.open(settings.database_url)
    try:
        yield Session(settings, ledger)
    finally:
        ledger.close()
