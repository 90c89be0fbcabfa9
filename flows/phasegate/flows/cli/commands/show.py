"""`phasegate show`: everything about one run, with the page of the gate it waits at."""

from __future__ import annotations

from pathlib import Path

import click

from phasegate.flows.cli.options import example, json_option, pager_option, run_argument


@click.command(
    epilog=example(
        "phasegate show latest",
        "phasegate show run-5kq --json",
        "phasegate show run-5kq --charts charts/",
        "phasegate show run-5kq --follow-up > next.md",
    )
)
@run_argument
@click.option(
    "--charts",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Draw what was measured into this folder, an SVG per metric, and say nothing else.",
)
@click.option(
    "--follow-up", is_flag=True, help="Print the ticket its incident drafts, to be run next, and nothing else."
)
@pager_option
@json_option
def show(run: str, charts: Path | None, follow_up: bool, no_pager: bool, as_json: bool) -> None:
    """Show a run, and what its gate asks.

    Its attempts, decisions and effects, tokens and cost, and the page of the gate it waits at. RUN is an id, the
    beginning of one, or "latest".
    """
    from phasegate.flows.cli.session import opened
    from phasegate.flows.views.report import report

    with opened() as session:
        run_id = session.run(run).id
        if charts is None and not follow_up:
            from phasegate.flows.cli.actions.gate_page import print_run

            print_run(session, run_id, as_json=as_json, pager=not no_pager)
            return
        run_report = report(session.ledger, run_id)
    if charts is not None:
        from phasegate.flows.cli.views.exports import draw

        draw(run_report, charts, as_json=as_json)
        return
    from phasegate.flows.cli.views.exports import print_follow_up

    print_follow_up(run_report, as_json=as_json)
