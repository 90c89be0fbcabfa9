"""Display of a run while it is followed: a live view on a terminal, else appended lines."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import click
from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from phasegate.flows.cli.output import console
from phasegate.flows.cli.sanitize import one_line
from phasegate.flows.cli.views.event_text import EventLine, describe
from phasegate.flows.cli.views.follow import Watcher
from phasegate.flows.cli.views.run_page import cost_text
from phasegate.flows.cli.views.tables import seconds_text, status_text, work_text
from phasegate.flows.views.pending import waiting_times
from phasegate.flows.views.progress import progress_of
from phasegate.flows.views.report import usage_report
from phasegate.infra.ledger import Attempt, Event, Ledger, Run

_RECENT = 8
_LEAST_ROWS = 3
_REFRESH_PER_SECOND = 8
_TICKS = {"finished": ("✓", "green"), "failed": ("✗", "red")}


class LineWatcher:
    """Appends a line per event; for logs, pipes and scripts."""

    def __init__(self, ledger: Ledger, *, detail: bool = False, stage: str = "") -> None:
        """Show lines.

        Args:
            ledger: The source of the events.
            detail: True to show the full log.
            stage: The only stage to show; empty for all.
        """
        self._ledger = ledger
        self._detail = detail
        self._stage = stage

    def see(self, run: Run, news: list[Event]) -> None:
        """Print the new events."""
        for event in news:
            line = describe(event, self._ledger)
            if (self._detail or not line.detail) and self._stage in {"", line.stage}:
                click.echo(str(line))


class NullWatcher:
    """Shows nothing; for `--json`."""

    def see(self, run: Run, news: list[Event]) -> None:
        """Look away."""


class LiveView:
    """The live view: stages, gate, the agent's current work, tokens, cost, time."""

    def __init__(self, ledger: Ledger, live: Live) -> None:
        """Draw on a started `Live`."""
        self._ledger = ledger
        self._live = live
        self._recent: deque[EventLine] = deque(maxlen=_RECENT)
        self._spinners: dict[str, Spinner] = {}

    def see(self, run: Run, news: list[Event]) -> None:
        """Draw the whole view again."""
        lines = [describe(event, self._ledger) for event in news]
        self._recent += [line for line in lines if not line.detail]
        head, screen = self._head(run), self._live.console
        rows = max(_LEAST_ROWS, screen.size.height - len(head.wrap(screen, screen.size.width)) - 1)
        recent = min(len(self._recent), max(1, rows // 3))
        self._live.update(Group(head, self._stages(run, rows - recent), *self._steps(recent)))

    def _head(self, run: Run) -> Text:
        usage = usage_report(self._ledger.exchanges.usage(run.id))
        ledger = self._ledger
        waits = waiting_times(ledger.gates.list(run.id), ledger.gates.decisions(run.id), ledger.questions.list(run.id))
        elapsed = work_text(run.created_at, run.finished_at or datetime.now(UTC), waits).replace("\n", " ")
        head = Text.assemble((one_line(run.title), "bold"), f"\nrun {run.id} · ", status_text(run.status))
        head.append(
            f" · {elapsed} · {usage.tokens:,} tokens · {cost_text(usage, rehearsed=bool(run.options.rehearsal))}"
        )
        if (progress := progress_of(self._ledger, run)) is not None:
            head.append(f"\n{progress.stage}: {one_line(progress.text, 200)}", style="cyan")
        for gate in self._ledger.gates.waiting(run.id):
            head.append(f"\n◆ waits at gate {gate.gate}", style="bold yellow")
        for question in self._ledger.questions.open(run.id):
            head.append(f"\n◆ waits for an answer: {one_line(question.text, 200)}", style="bold yellow")
        return head

    def _stages(self, run: Run, rows: int) -> Table:
        """The attempts in a number of rows: the latest, and each that runs."""
        grid = Table.grid(padding=(0, 2))
        for attempt in shown_attempts(self._ledger.attempts.list(run.id), rows):
            name = f"{attempt.stage} ({attempt.part})" if attempt.part else attempt.stage
            grid.add_row(
                self._mark(attempt),
                Text(name, no_wrap=True, overflow="ellipsis"),
                Text(f"attempt {attempt.number}", style="dim", no_wrap=True),
                seconds_text(attempt.started_at, attempt.finished_at or datetime.now(UTC)),
                Text(one_line(attempt.model, 40), style="dim", no_wrap=True, overflow="ellipsis"),
            )
        return grid

    def _mark(self, attempt: Attempt) -> Text | Spinner:
        if attempt.status in _TICKS:
            return Text(*_TICKS[attempt.status])
        return self._spinners.setdefault(attempt.id, Spinner("dots", style="cyan"))

    def _steps(self, count: int) -> Iterator[Text]:
        for line in list(self._recent)[-count:] if count else []:
            yield Text(str(line), style="dim", no_wrap=True, overflow="ellipsis")


def shown_attempts(attempts: Sequence[Attempt], rows: int) -> list[Attempt]:
    """Attempts to show in a number of rows, in their order: those that run first of all, then the latest."""
    running = [attempt for attempt in attempts if attempt.status not in _TICKS]
    ended = [attempt for attempt in attempts if attempt.status in _TICKS]
    kept = {attempt.id for attempt in [*reversed(running), *reversed(ended)][: max(rows, 0)]}
    return [attempt for attempt in attempts if attempt.id in kept]


@contextmanager
def open_watcher(ledger: Ledger, *, as_json: bool) -> Generator[Watcher]:
    """Open the watcher that fits: none for JSON, a live view on a terminal, else lines."""
    if as_json:
        yield NullWatcher()
    elif not sys.stdout.isatty():
        yield LineWatcher(ledger)
    else:
        with Live(console=console(), refresh_per_second=_REFRESH_PER_SECOND) as live:
            yield LiveView(ledger, live)
