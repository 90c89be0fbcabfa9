"""`phasegate audit`: verify a run's trail offline, in the ledger or in an exported bundle."""

from __future__ import annotations

import click

from phasegate.flows.cli.options import example, json_option


@click.command(epilog=example("phasegate audit latest", "phasegate audit run-5kq.bundle.json"))
@click.argument("trail", metavar="RUN|FILE")
@click.option("--key", default="", help="Who must have signed the FILE: sha256:… of the engine's public key.")
@json_option
def audit(trail: str, key: str, as_json: bool) -> None:
    """Verify a run's trail.

    Recomputes every hash and digest, verifies every signature on a decision, compares the chain with the heads that git
    has seen, and exits 1 at the first row that does not hold. RUN is an id, the beginning of one, or "latest"; a name
    with a dot or a slash is a FILE that `phasegate export` wrote, checked with nothing but itself. Needs neither engine
    nor network.
    """
    from pathlib import Path

    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.sanitize import one_line
    from phasegate.flows.cli.session import opened
    from phasegate.flows.runs.audit_bundle import audit_bundle, audit_run
    from phasegate.infra.errors import UsageError

    if "." in trail or "/" in trail:
        try:
            bundle = Path(trail).read_bytes()
        except OSError as error:
            raise UsageError(f"{trail} cannot be read: {error.strerror}") from error
        checked = audit_bundle(bundle, expected_key=key)
    elif key:
        raise UsageError("--key is for bundles", remedy="Name the bundle's file.")
    else:
        with opened() as session:
            checked = audit_run(session.ledger, session.run(trail))
    if as_json:
        document(checked.document())
        return
    say(f"✓ {checked.trail.events} events of run {one_line(checked.trail.run_id)} form one unbroken chain")
    say(f"✓ {checked.trail.rows} rows are as their events left them, and every digest holds")
    if checked.trail.signatures:
        say(f"✓ {checked.trail.signatures} people's signatures hold, by the allowed signers of the base commit")
    if checked.replayed:
        say(f"✓ the same holds of what it replays: {one_line(', '.join(checked.replayed))}")
    if checked.heads_missing:
        say(f"! not compared with git: {one_line(checked.heads_missing)}")
    else:
        say(f"✓ git has seen {checked.heads} heads of this chain, and all are in it")
    if checked.release:
        say(f"✓ a signed statement says the same of the released commit {one_line(checked.release)}")
    if checked.key:
        say(f"  signed by {checked.key}")
    say(f"  the chain's head is {one_line(checked.trail.head)}")
