"""`phasegate export`: a run's whole trail as one signed file."""

from __future__ import annotations

from pathlib import Path

import click

from phasegate.flows.cli.options import example, json_option, run_argument


@click.command(epilog=example("phasegate export latest", "phasegate export run-5kq -o /safe/place/run-5kq.bundle.json"))
@run_argument
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to; RUN.bundle.json here.")
@json_option
def export(run: str, output: Path | None, as_json: bool) -> None:
    """Write a run's trail to one file that can be verified anywhere.

    Its rows, events, artifacts and decisions as they are stored, the heads of its chain that git has seen, and an
    in-toto statement about its release, signed in DSSE envelopes with this machine's key. `phasegate audit FILE`
    verifies it. The file holds all that models and tools said: treat it like the code. RUN is an id, the beginning of
    one, or "latest".
    """
    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.session import opened
    from phasegate.flows.runs.audit_bundle import export_bundle
    from phasegate.infra.errors import UsageError
    from phasegate.infra.identity.attestation import AttestationKey, key_id

    with opened() as session:
        record = session.run(run)
        key = AttestationKey.open(session.settings.home / "attestation.key")
        bundle = export_bundle(session.ledger, record, key)
    path = output or Path(f"{record.id}.bundle.json")
    try:
        path.write_bytes(bundle)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    if as_json:
        document({"run": record.id, "file": str(path), "bytes": len(bundle), "key": key_id(key.public)})
        return
    say(f"The trail of run {record.id} is in {path}, {len(bundle)} bytes, signed by {key_id(key.public)}.")
    say(f"Verify it anywhere with `phasegate audit {path if path.parent != Path() else f'./{path}'}`.")
