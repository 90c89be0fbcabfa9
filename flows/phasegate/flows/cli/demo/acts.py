"""The demo from beginning to end: set the scene, two acts, the story, and nothing left running."""

from __future__ import annotations

import shutil
import sys

import click

from phasegate.flows.cli.demo.ending import obsolete_table, story_table
from phasegate.flows.cli.demo.play import Player, Quit, heading
from phasegate.flows.cli.demo.scratch import Scratch, make_scratch, nothing_left_running
from phasegate.flows.cli.demo.service import (
    HttpExchange,
    ask_for_a_link_without_code,
    ask_for_an_expiring_link,
    follow,
    look_up,
)
from phasegate.flows.cli.output import console, document
from phasegate.flows.cli.sanitize import sanitize
from phasegate.flows.cli.session import opened
from phasegate.flows.cli.views.follow import FollowInterrupted
from phasegate.flows.cli.views.next_steps import next_steps
from phasegate.flows.engine import control
from phasegate.flows.engine.info import EngineInfo
from phasegate.flows.views.branches import run_branches
from phasegate.flows.views.report import ReleaseReport, RunReport
from phasegate.infra.errors import PhasegateError, TrailBroken

FEATURE = "1-expiring-links"
BREACH = "2-even-out-bursts"
CHANGE = "3-redirects-keep-the-request"
REMOVAL = "4-no-made-up-codes"


def perform(*, asks: bool, keep: bool, as_json: bool, ticket: str = "") -> int:
    """Play the demo.

    Args:
        asks: A person decides at the gates; otherwise every gate is approved.
        keep: Leave engine and service running at the end.
        as_json: Say nothing on the way and print one document at the end.
        ticket: The ticket that is played alone, `3` or `4`; empty for the first two.

    Returns:
        0 when the first ticket shipped, the second was rolled back, and both trails hold; 1 otherwise. For a ticket
        that is played alone: 0 when it shipped and its trail holds.

    Raises:
        Interrupted: Ctrl-C; nothing is left running.
        PhasegateError: The demo cannot be played on this machine.
    """
    scratch = make_scratch()
    acts = _Acts(scratch, asks=asks, quiet=as_json, ticket=ticket)
    try:
        with nothing_left_running(scratch, keep=keep):
            acts.play()
    except Quit:
        keep = False
    except PhasegateError:
        click.echo(_where_to_look(scratch, keep=False), err=True)
        raise
    except KeyboardInterrupt as error:
        raise FollowInterrupted(f"The demo was interrupted.\n{_where_to_look(scratch, keep=False)}") from error
    if as_json:
        document({"ok": acts.ok, "folder": str(scratch.folder), "runs": [report.document() for report in acts.reports]})
    else:
        click.echo(_where_to_look(scratch, keep=keep, runs=[report.id for report in acts.reports]))
    return 0 if acts.ok else 1


class _Acts:
    """The acts, and their results."""

    def __init__(self, scratch: Scratch, *, asks: bool, quiet: bool, ticket: str) -> None:
        self._scratch = scratch
        acts = {"3": (self._change,), "4": (self._removal,)}
        self._acts = acts.get(ticket, (self._feature, self._breach))
        self._asks = asks
        self._quiet = quiet
        self.reports: list[RunReport] = []
        self.ok = False

    def play(self) -> None:
        self._say(f"The demo plays in {self._scratch.folder}; nothing outside of it is touched.")
        self._say("No model is asked: a script answers, over HTTP, in the place of one. All else is real.")
        self._heading("The engine starts")
        info = self._start()
        self._say("  Prefect shows every step until the demo ends, on (this link works once, for five minutes)")
        self._say(f"  {control.login_link(self._scratch.settings, info)}")
        with opened() as session:
            player = Player(session, self._scratch, self._asks, self._quiet)
            shipped = all(act(player) for act in self._acts)
            self._heading("The story")
            holds = [self._story(player, report) for report in self.reports]
            self.ok = shipped and all(holds)

    def _start(self) -> EngineInfo:
        """Start the engine. If Ctrl-C comes meanwhile, wait until it is up: only then can it be stopped for sure."""
        settings = self._scratch.settings
        try:
            return control.start(settings, on_progress=lambda text: self._say(f"  {text}"))
        except KeyboardInterrupt:
            control.start(settings)
            raise

    def _feature(self, player: Player) -> bool:
        self._heading("Ticket 1: a feature")
        report = self._play(player, FEATURE)
        if report.status != "done" or report.release is None:
            return False
        self._say("\n  The service runs. This is what the ticket asked for:")
        return self._show(ask_for_an_expiring_link(report.release.url), 201)

    def _breach(self, player: Player) -> bool:
        self._heading("Ticket 2: a change that passes its tests and breaks the service level once it runs")
        report = self._play(player, BREACH)
        if report.status != "rolled-back":
            return False
        self._say("\n  The release is undone. The one before it answers again, with what ticket 1 brought:")
        earlier = self.reports[0].release or ReleaseReport(url="", current=False)
        return self._show(ask_for_an_expiring_link(earlier.url), 201) and self._show(look_up(earlier.url), 200)

    def _change(self, player: Player) -> bool:
        self._heading("Ticket 3: a change of behaviour that existing tests hold on to")
        return self._obsolete(player, CHANGE) and self._show(follow(self._url), 307)

    def _removal(self, player: Player) -> bool:
        self._heading("Ticket 4: a feature goes, and its tests go with it")
        return self._obsolete(player, REMOVAL) and self._show(ask_for_a_link_without_code(self._url), 400)

    def _obsolete(self, player: Player, name: str) -> bool:
        """Play a ticket that makes tests obsolete, and show which tests went and why.

        Returns:
            True if the change shipped.
        """
        report = self._play(player, name)
        if report.status != "done" or report.release is None:
            return False
        if not self._quiet:
            click.echo("\n  These tests went:")
            console().print(obsolete_table(report))
        self._say("\n  The service runs. This is what the ticket asked for:")
        return True

    @property
    def _url(self) -> str:
        release = self.reports[-1].release
        return release.url if release else ""

    def _play(self, player: Player, name: str) -> RunReport:
        self._say(sanitize(self._scratch.ticket(name).read_text()).rstrip(), indent="  │ ")
        report = player.play(name)
        self.reports.append(report)
        for line in next_steps(report, run_branches(report))[:1]:
            self._say(f"\n  {line}")
        return report

    def _show(self, exchange: HttpExchange, expected: int) -> bool:
        self._say(f"    {sanitize(exchange.request)}\n    → {exchange.status} {sanitize(exchange.answer)}")
        return exchange.status == expected

    def _story(self, player: Player, report: RunReport) -> bool:
        """Print a run's table and check its trail.

        Returns:
            True if the trail holds.
        """
        try:
            audit = player.session.ledger.audit(report.id)
        except TrailBroken as error:
            self._say(f"✗ {sanitize(error.message)}")
            return False
        if not self._quiet:
            click.echo(f"\n  {sanitize(report.title)}: {report.status}")
            console().print(story_table(report))
        self._say(f"  ✓ the audit trail holds: {audit.events} events, {audit.rows} rows")
        return True

    def _heading(self, text: str) -> None:
        if not self._quiet:
            heading(text)

    def _say(self, text: str, indent: str = "") -> None:
        if not self._quiet:
            click.echo("\n".join(f"{indent}{line}" for line in text.splitlines()))


def _where_to_look(scratch: Scratch, *, keep: bool, runs: list[str] | None = None) -> str:
    program = "phasegate" if shutil.which("phasegate") else sys.argv[0]  # `make demo` has it off the PATH
    home = f"PHASEGATE_HOME={scratch.settings.home} {program}"
    lines = [f"\nEverything is in {scratch.folder}; delete it when you have seen enough. Look again with:"]
    lines += [f"  {home} show {run}" for run in runs or ["latest"]]
    lines += [f"  git -C {scratch.repository} log --graph --oneline --all"]
    if keep:
        lines += ["Engine and service still run. Stop them with:", f"  {home} down --services"]
    else:
        lines += ["Nothing of it is left running."]
    return "\n".join(lines)


def is_asked(*, yes: bool, as_json: bool) -> bool:
    """True if a person decides at the gates: at a terminal, without `--yes` and `--json`."""
    return not yes and not as_json and sys.stdin.isatty()
