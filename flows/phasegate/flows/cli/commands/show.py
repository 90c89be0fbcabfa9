"""`phasegate show`: everything about one run, with the page of the gate it waits at."""

from __future__ import annotations

import click

from phasegate.flows.cli.options import example, json_option, run_argument


@click.command(epilog=example("phasegate show latest", "phasegate show run-5kq --json"))
@run_argument
@json_option
def show(run: str, as_json: bool) -> None:
    """Show a run, and what its gate asks.

    Its attempts, decisions and effects, tokens and cost, and the page of the gate it waits at. RUN is an id, the
    beginning of one, or "latest".
    """
    from phasegate.flows.cli.output import console, document
    from phasegate.flows.cli.session import opened
    from phasegate.flows.report import report

    with opened() as session:
        made = report(session.ledger, session.run(run).id)
    if as_json:
        document(made.document())
        return
    from phasegate.flows.cli.render import page

    console().print(page(made))
