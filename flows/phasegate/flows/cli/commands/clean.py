"""`phasegate clean`: remove what ended runs leave behind."""

from __future__ import annotations

from pathlib import Path

import click

from phasegate.flows.cli.options import example, json_option, key_option


@click.command(epilog=example("phasegate clean --dry-run", "phasegate clean --json"))
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@key_option
@json_option
def clean(dry_run: bool, key: Path | None, as_json: bool) -> None:
    """Remove what ended runs leave behind, as far as the policy's `[retention]` allows.

    Folders of runs that have ended; refs of runs that ended long ago; files of `project.setup` that no grade used for
    long. A run that continues loses nothing, and the ledger stays. The engine does the same every hour. What policy's
    `[commands]` does not let you clean stays, and is named.
    """
    import os

    from phasegate.flows.cli.actions.cleaning import CleaningRights
    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.session import opened
    from phasegate.flows.runs.cleaning import clean as remove
    from phasegate.infra.secrets import Secrets

    with opened() as session:
        rights, secrets = CleaningRights(session, key), Secrets.of(os.environ)
        asking = {} if dry_run else {"may_clean": rights.may_clean}
        removed = list(remove(session.settings, session.ledger, secrets, dry_run=dry_run, **asking))
    total = sum(item.bytes for item in removed)
    if as_json:
        items = [item.document() for item in removed]
        document({"removed": items, "bytes": total, "dry_run": dry_run, "left": rights.left})
        return
    for item in removed:
        say(f"{item.kind}\t{item.name}\t{item.bytes} bytes")
    for run, why in rights.left.items():
        say(f"left\t{run}\t{why}")
    say(f"{'Would free' if dry_run else 'Freed'} {total} bytes.")
