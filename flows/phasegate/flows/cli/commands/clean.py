"""`phasegate clean`: remove what ended runs leave behind."""

from __future__ import annotations

import click

from phasegate.flows.cli.options import example, json_option


@click.command(epilog=example("phasegate clean --dry-run", "phasegate clean --json"))
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@json_option
def clean(dry_run: bool, as_json: bool) -> None:
    """Remove what ended runs leave behind, as far as the policy's `[retention]` allows.

    Folders of runs that have ended; refs of runs that ended long ago; files of `project.setup` that no grade used for
    long. A run that continues loses nothing, and the ledger stays. The engine does the same every hour.
    """
    import os

    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.session import opened
    from phasegate.flows.runs.cleaning import clean as remove
    from phasegate.infra.secrets import Secrets

    with opened() as session:
        removed = list(remove(session.settings, session.ledger, Secrets.of(os.environ), dry_run=dry_run))
    total = sum(item.bytes for item in removed)
    if as_json:
        document({"removed": [item.document() for item in removed], "bytes": total, "dry_run": dry_run})
        return
    for item in removed:
        say(f"{item.kind}\t{item.name}\t{item.bytes} bytes")
    say(f"{'Would free' if dry_run else 'Freed'} {total} bytes.")
