"""`phasegate watch`: a run as it happens."""

from __future__ import annotations

import click

from phasegate.flows.cli.options import example, json_option, run_argument


@click.command(epilog=example("phasegate watch latest"))
@run_argument
@json_option
def watch(run: str, as_json: bool) -> int:
    """Follow a run until it stops, and exit with its exit code.

    Shows the stages, the gate, what the agent is doing now, tokens, cost and time; appended lines where there is no
    terminal; with --json the run's report at the end. RUN is an id, the beginning of one, or "latest".
    """
    from phasegate.flows.cli.actions.handoff import follow
    from phasegate.flows.cli.session import opened

    with opened() as session:
        return follow(session, session.run(run).id, as_json=as_json)
