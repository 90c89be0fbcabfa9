"""`phasegate audit`: verify a run's trail offline."""

from __future__ import annotations

import click

from phasegate.flows.cli.options import example, json_option, run_argument


@click.command(epilog=example("phasegate audit latest"))
@run_argument
@json_option
def audit(run: str, as_json: bool) -> None:
    """Verify a run's trail.

    Recomputes every hash and digest, and exits 1 at the first row that does not hold. RUN is an id, the beginning of
    one, or "latest". Needs neither engine nor network.
    """
    from dataclasses import asdict

    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.session import opened

    with opened() as session:
        checked = session.ledger.audit(session.run(run).id)
    if as_json:
        document(asdict(checked))
        return
    say(f"✓ {checked.events} events of run {checked.run_id} form one unbroken chain")
    say(f"✓ {checked.rows} rows are as their events left them, and every digest holds")
    say(f"  the chain's head is {checked.head}")
