"""`phasegate demo`: the whole lifecycle, small."""

from __future__ import annotations

import click

from phasegate.flows.cli.options import example, json_option


@click.command(epilog=example("phasegate demo", "phasegate demo --yes", "phasegate demo --ticket 3"))
@click.option(
    "--ticket",
    type=click.Choice(["3", "4"]),
    help="Play this ticket alone. 3 changes behaviour, 4 takes a feature away; the page says which tests go, and why.",
)
@click.option("--yes", is_flag=True, help="Approve every gate without asking; so it is where there is no terminal.")
@click.option("--keep", is_flag=True, help="Leave the engine and the service running at the end, to look at them.")
@json_option
def demo(ticket: str | None, yes: bool, keep: bool, as_json: bool) -> int:
    """See the whole lifecycle on a sample service.

    Two tickets in a scratch folder, with scripted model answers: the first ships a feature; the second passes its
    tests, breaks its service level once it runs, and is rolled back. Needs git and bubblewrap, no model key. Exits 0
    when it went just so, and leaves no process behind.
    """
    from phasegate.flows.cli.demo.acts import is_asked, perform

    return perform(asks=is_asked(yes=yes, as_json=as_json), keep=keep, as_json=as_json, ticket=ticket or "")
