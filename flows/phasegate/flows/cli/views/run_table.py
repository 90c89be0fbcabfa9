"""Runs as a table, for `runs` and `status`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from phasegate.flows.cli.sanitize import one_line, sanitize
from phasegate.flows.cli.views.run_page import status_text, table
from phasegate.infra.ledger import Run


def runs_table(
    runs: Sequence[Run], open_gates: Mapping[str, Sequence[str]], asking: Collection[str] = frozenset()
) -> Table:
    """Table of runs.

    Args:
        runs: The runs, in the order of the rows.
        open_gates: Run id to the names of the gates it waits at.
        asking: The ids of runs whose agent has asked something.
    """
    rows = table("run", "ticket", "status", "asked for by", "began", whole=("run", "began"))
    for run in runs:
        status = status_text(run.status)
        if gates := open_gates.get(run.id):
            status.append(f" at {', '.join(gates)}")
        if run.id in asking:
            status.append(" for an answer")
        rows.add_row(
            Text(run.id, no_wrap=True),
            Text(one_line(run.title, 60)),
            status,
            Text(sanitize(run.requester)),
            f"{run.created_at.astimezone():%Y-%m-%d %H:%M}",
        )
    return rows
