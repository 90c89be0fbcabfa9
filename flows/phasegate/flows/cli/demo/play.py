"""Taking one ticket through the lifecycle, with a person or without one."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Literal

import click

from phasegate.flows.cli.demo.narration import GATES, Narrator
from phasegate.flows.cli.demo.scratch import Scratch
from phasegate.flows.cli.output import console
from phasegate.flows.cli.sanitize import one_line
from phasegate.flows.cli.session import Session
from phasegate.flows.cli.views.follow import Follower, Watcher
from phasegate.flows.cli.views.live import NullWatcher
from phasegate.flows.cli.views.run_page import gate_questions
from phasegate.flows.engine import control
from phasegate.flows.engine.info import engine_alive
from phasegate.flows.runs.kickoff import KickoffRequest, kick_off
from phasegate.flows.views.report import RunReport, report
from phasegate.infra.ledger import Gate, Verdict

Answer = Literal["y", "n", "q"]
_VERDICTS: dict[Answer, Verdict] = {"y": "approve", "n": "reject"}


class Quit(Exception):
    """The person at the gate wants no more."""


@dataclass
class Player:
    """The person who plays the demo.

    Attributes:
        session: The demo's ledger.
        scratch: The demo's folder.
        asks: True if a person decides at the gates.
        quiet: True if nothing is printed on the way.
    """

    session: Session
    scratch: Scratch
    asks: bool
    quiet: bool

    def play(self, name: str) -> RunReport:
        """Take one ticket as far as it goes.

        Raises:
            Quit: The person at a gate wants no more.
            PhasegateError: It could not be started, or the engine is gone.
        """
        run = kick_off(
            KickoffRequest(
                str(self.scratch.ticket(name)), self.scratch.repository, rehearsal=self.scratch.script(name)
            ),
            ledger=self.session.ledger,
            settings=self.session.settings,
            person=self.session.person,
            environment=os.environ,
            stdin=sys.stdin.buffer.read,
        )
        control.wake(self.session.settings, run.id)
        watcher: Watcher = NullWatcher() if self.quiet else Narrator(self.session.ledger)
        follower = Follower(self.session.ledger, run.id, lambda: engine_alive(self.session.settings))
        while follower.until_stopped(watcher).status == "waiting":
            self._decide(self.session.gate(run, None))
            control.wake(self.session.settings, run.id)
        return report(self.session.ledger, run.id)

    def _decide(self, gate: Gate) -> None:
        if not self.quiet:
            self._show(gate)
        answer: Answer = "y"
        if self.asks:
            answer = click.prompt(
                "  y: approve, n: reject, q: end the demo", type=click.Choice(["y", "n", "q"]), default="y"
            )
        elif not self.quiet:
            click.echo("  Nobody is asked in this demo: approved.")
        if answer == "q":
            raise Quit
        self.session.ledger.gates.decide(gate.id, _VERDICTS[answer], self.session.person)

    def _show(self, gate: Gate) -> None:
        click.echo(f"\n  A person decides now. {GATES.get(gate.gate, '')}")
        console().print(gate_questions(report(self.session.ledger, gate.run_id)))


def heading(text: str) -> None:
    """The beginning of an act."""
    click.echo(f"\n{click.style(one_line(text), bold=True)}")
