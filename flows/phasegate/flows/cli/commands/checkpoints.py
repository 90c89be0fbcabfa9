"""`phasegate checkpoints`: the checkpoints a run can be put back to."""

from __future__ import annotations

import click

from phasegate.flows.cli.options import example, json_option, pager_option, run_argument


@click.command(epilog=example("phasegate checkpoints latest", "phasegate checkpoints run-5kq --json"))
@run_argument
@pager_option
@json_option
def checkpoints(run: str, no_pager: bool, as_json: bool) -> None:
    """List the checkpoints a run can be put back to.

    Every turn of the implementation, every finished stage and every decided gate, each with the commit that holds the
    workspace's files. A checkpoint keeps its number. RUN is an id, the beginning of one, or "latest".
    """
    from phasegate.flows.cli.output import document, show_page
    from phasegate.flows.cli.session import opened
    from phasegate.flows.runs.checkpoints import checkpoints as read

    with opened() as session:
        checkpoints = read(session.ledger, session.run(run))
    if as_json:
        document([checkpoint.document() for checkpoint in checkpoints])
        return
    from rich.text import Text

    from phasegate.flows.cli.sanitize import one_line
    from phasegate.flows.cli.views.tables import table

    rows = table("#", "moment", "", "commit", "at", whole=("#", "commit", "at"))
    for checkpoint in checkpoints:
        turn = f", turn {checkpoint.turn}" if checkpoint.turn else ""
        rows.add_row(
            Text(str(checkpoint.id)),
            Text(one_line(f"{checkpoint.kind}: {checkpoint.what}{turn}", 60)),
            Text(f"thrown away by rewind {checkpoint.discarded}" if checkpoint.discarded else ""),
            Text(checkpoint.commit[:12]),
            Text(f"{checkpoint.at.astimezone():%H:%M:%S}"),
        )
    show_page(rows, pager=not no_pager)
