"""Tables, status words and lengths of time as every page of the terminal has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich import box
from rich.table import Table
from rich.text import Text

from phasegate.flows.views.pending import Interval, waited_seconds

_SECONDS = 100
"""Seconds up to which a length of time is told in seconds."""
_LEAST_SECONDS = 0.5
"""Waits that are shorter are not told."""

STATUS_STYLE = {
    "finished": "green",
    "adopted": "green",
    "done": "green",
    "approved": "green",
    "failed": "red",
    "rejected": "red",
    "cancelled": "red",
    "stuck": "bold red",
    "rolled-back": "yellow",
    "undone": "yellow",
    "waiting": "bold yellow",
    "open": "bold yellow",
    "paused": "yellow",
    "needs-operator": "bold yellow",
    "running": "cyan",
    "accepted": "cyan",
}


def seconds_text(start: datetime, end: datetime | None) -> str:
    """A length of time in a few characters."""
    if end is None:
        return "…"
    return _length((end - start).total_seconds())


def work_text(start: datetime, end: datetime | None, waits: Sequence[Interval]) -> str:
    """A length of time, with the part in which a person was waited for apart, on a line of its own."""
    waited = waited_seconds(start, end or datetime.now(UTC), waits)
    if waited < _LEAST_SECONDS:
        return seconds_text(start, end)
    work = "…" if end is None else _length((end - start).total_seconds() - waited)
    return f"{work}\n+ {_length(waited)} wait"


def _length(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < _SECONDS else f"{seconds / 60:.0f} min"


def status_text(status: str) -> Text:
    """A status word in its colour."""
    return Text(status, style=STATUS_STYLE.get(status, ""))


def table(*headers: str, whole: tuple[str, ...] = ()) -> Table:
    """An empty table in the house's looks, narrow enough for 80 columns.

    Args:
        headers: The columns.
        whole: Those whose lines are never broken.
    """
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, header_style="dim")
    for header in headers:
        rows.add_column(header, overflow="fold", no_wrap=header in whole)
    return rows
