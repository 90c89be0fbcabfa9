"""`phasegate logs`: a run's events as lines."""

from __future__ import annotations

import click

from phasegate.flows.cli.options import example, json_option, run_argument

_STAGES = ("prd", "implementation", "testing", "deployment", "monitoring")


@click.command(epilog=example("phasegate logs latest --follow", "phasegate logs run-5kq --stage implementation"))
@run_argument
@click.option("--follow", is_flag=True, help="Go on until the run stops.")
@click.option("--stage", type=click.Choice(_STAGES), default=None, help="Only what this stage did.")
@json_option
def logs(run: str, follow: bool, stage: str | None, as_json: bool) -> None:
    """Print what happened in a run, one line per event.

    With --json one JSON array; with --follow one document per line. RUN is an id, the beginning of one, or "latest".
    """
    from phasegate.flows.cli.output import document
    from phasegate.flows.cli.session import opened
    from phasegate.flows.cli.views.event_json import JsonLines, event_documents
    from phasegate.flows.cli.views.follow import Follower
    from phasegate.flows.cli.views.live import LineWatcher
    from phasegate.flows.engine.info import engine_alive

    with opened() as session:
        record = session.run(run)
        if as_json and not follow:
            document(list(event_documents(session.ledger, session.ledger.events(record.id), stage or "")))
            return
        ledger = session.ledger
        watcher = JsonLines(ledger, stage or "") if as_json else LineWatcher(ledger, detail=True, stage=stage or "")
        follower = Follower(session.ledger, record.id, lambda: engine_alive(session.settings))
        if follow:
            follower.until_stopped(watcher)
        else:
            follower.look(watcher)
