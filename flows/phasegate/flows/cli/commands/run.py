"""`phasegate run`: kick off a ticket, and follow it to its first stop."""

from __future__ import annotations

from pathlib import Path

import click

from phasegate.flows.cli.options import example, json_option, key_option

_GATES = ("prd", "change", "release", "promotion")


@click.command(
    epilog=example(
        "phasegate run ticket.md",
        "phasegate run https://github.com/acme/shop/issues/12 --repo ~/src/shop --detach",
        "phasegate run - --rehearse script.yaml < ticket.md",
    )
)
@click.argument("ticket", metavar="TICKET")
@click.option("--repo", type=click.Path(path_type=Path), default=Path(), help="The repository.  [default: here]")
@click.option("--model", default="", help="PROVIDER:MODEL for every stage, over what policy says.")
@click.option("--rehearse", type=click.Path(path_type=Path), help="Answer every model call from this script.")
@click.option(
    "--approve",
    multiple=True,
    type=click.Choice(_GATES),
    help="Approve this gate in advance, as your standing decision; may be repeated.",
)
@click.option("--detach", is_flag=True, help="Return as soon as the run is accepted and handed over.")
@key_option
@json_option
def run(
    ticket: str,
    repo: Path,
    model: str,
    rehearse: Path | None,
    approve: tuple[str, ...],
    detach: bool,
    key: Path | None,
    as_json: bool,
) -> int:
    """Take a ticket through the lifecycle, to the next gate or to the end.

    TICKET is a Markdown file, - for standard input, or the URL of a GitHub issue. The run starts from the commit of
    the base branch; your working tree is left alone.
    """
    import os
    import sys

    from phasegate.flows.cli.actions.handoff import follow, hand_to_engine, print_result
    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.sanitize import one_line
    from phasegate.flows.cli.session import opened
    from phasegate.flows.runs.kickoff import KickoffRequest, kick_off
    from phasegate.flows.views.report import report

    request = KickoffRequest(ticket, repo, model, rehearse, approve, key)
    with opened() as session:
        accepted = kick_off(
            request,
            ledger=session.ledger,
            settings=session.settings,
            person=session.person,
            environment=os.environ,
            stdin=sys.stdin.buffer.read,
        )
        for notice in accepted.options.notices:
            say(f"! {one_line(notice, 400)}", as_json=as_json)
        say(f"Run {accepted.id} is accepted: {one_line(accepted.title)}", as_json=as_json)
        hand_to_engine(session, accepted.id, as_json=as_json)
        if not detach:
            return follow(session, accepted.id, as_json=as_json)
        if as_json:
            document(report(session.ledger, accepted.id).document())
        else:
            print_result(session, accepted.id, as_json=False)
        return 0
