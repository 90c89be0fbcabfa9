"""`phasegate status`: what this machine is doing for whom."""

from __future__ import annotations

import click

from phasegate.flows.cli.options import example, json_option


@click.command(epilog=example("phasegate status"))
@json_option
def status(as_json: bool) -> None:
    """Show what this machine is doing.

    The engine, the gates that wait for a person, the runs that continue, and the released services.
    """
    from phasegate.flows.cli.output import console, document, say
    from phasegate.flows.cli.session import opened
    from phasegate.flows.cli.views.machine_status import look

    with opened() as session:
        machine = look(session)
    if as_json:
        document(machine.document())
        return
    from phasegate.flows.cli.views.machine_status import engine_text, page

    say(engine_text(machine))
    console().print(page(machine))
