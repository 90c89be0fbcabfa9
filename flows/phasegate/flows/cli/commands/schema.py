"""`phasegate schema`: the JSON Schema of everything people, agents and tools write or read."""

from __future__ import annotations

import click

from phasegate.flows.cli.options import example, json_option
from phasegate.infra.errors import UsageError


@click.command(epilog=example("phasegate schema > schemas.json", "phasegate schema script"))
@click.argument("name", metavar="[NAME]", required=False)
@json_option
def schema(name: str | None, as_json: bool) -> None:
    """Print the JSON Schema of what phasegate reads and writes.

    Every artifact, the drafts agents hand in, the rehearsal script, phasegate.toml, and the documents of --json: NAME
    run-report is that of `show`, `run` and `watch`. One JSON document, {name: schema}; with NAME that schema alone.
    """
    from phasegate.flows.cli.output import document
    from phasegate.flows.views.artifact_types import schemas

    del as_json  # it is JSON anyway
    documents = schemas()
    if name is not None and name not in documents:
        raise UsageError(f"there is no schema {name!r}", remedy=f"Name one of: {', '.join(documents)}.")
    document(documents if name is None else documents[name])
