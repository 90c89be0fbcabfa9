"""`phasegate runs`: all runs, newest first."""

from __future__ import annotations

import click

from phasegate.flows.cli.options import example, json_option, pager_option


@click.command(epilog=example("phasegate runs --limit 5"))
@click.option("--limit", type=click.IntRange(1), default=30, show_default=True, help="How many runs at most.")
@pager_option
@json_option
def runs(limit: int, no_pager: bool, as_json: bool) -> None:
    """List the runs, newest first."""
    from phasegate.flows.cli.output import document, say, show_page
    from phasegate.flows.cli.session import opened
    from phasegate.flows.views.pending import pending

    with opened() as session:
        runs = session.ledger.runs.list()[:limit]
        waits = {run.id: pending(session.ledger, run) for run in runs}
        if as_json:
            document(
                [
                    {**run.model_dump(mode="json"), "open_gates": waits[run.id].names, "asks": waits[run.id].asks}
                    for run in runs
                ]
            )
        elif not runs:
            say("There are no runs yet. Start one with `phasegate run TICKET`, or see `phasegate demo`.")
        else:
            from phasegate.flows.cli.views.run_table import runs_table

            show_page(runs_table(runs, waits), pager=not no_pager)
