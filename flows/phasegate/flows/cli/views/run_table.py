"""Runs as a table, for `runs` and `status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from phasegate.flows.cli.sanitize import one_line, sanitize
from phasegate.flows.cli.views.tables import status_text, table
from phasegate.flows.views.pending import Pending
from phasegate.infra.ledger import Run


def runs_table(runs: Sequence[Run], waits: Mapping[str, Pending]) -> Table:
    """Table of runs.

    Args:
        runs: The runs, in the order of the rows.
        waits: Run id to the open gates and questions of the run.
    """
    rows = table("run", "ticket", "status", "asked for by", "began", whole=("run", "began"))
    for run in runs:
        status = status_text(run.status)
        if text := waits[run.id].text:
            status.append(f" {text}")
        rows.add_row(
            Text(run.id, no_wrap=True),
            Text(one_line(run.title, 60)),
            status,
            Text(sanitize(run.requester)),
            f"{run.created_at.astimezone():%Y-%m-%d %H:%M}",
        )
    return rows
