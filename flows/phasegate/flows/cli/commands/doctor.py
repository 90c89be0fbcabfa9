"""`phasegate doctor`: what a run needs, checked before it needs it."""

from __future__ import annotations

from pathlib import Path

import click

from phasegate.flows.cli.options import example, json_option

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red")}


@click.command(epilog=example("phasegate doctor"))
@click.option("--repo", type=click.Path(path_type=Path), default=Path(), help="The repository.  [default: here]")
@json_option
def doctor(repo: Path, as_json: bool) -> int:
    """Check what runs need; each ✗ comes with its remedy.

    Looks at git, the sandbox, pytest, the state folder, this repository's policy, the model keys it wants, the engine
    and the network. Exits 2 when something that is needed does not hold.
    """
    import os
    from dataclasses import asdict

    from phasegate.flows.cli.checkup import Patient, examine
    from phasegate.flows.cli.output import document
    from phasegate.flows.cli.plain import plain
    from phasegate.infra.settings import Settings

    findings = examine(Patient(Settings.from_environment(os.environ), os.environ, repo))
    healthy = True
    shown: list[dict[str, str]] = []
    for finding in findings:
        healthy = healthy and finding.outcome != "failed"
        if as_json:
            shown.append(asdict(finding))
            continue
        mark, colour = _MARKS[finding.outcome]
        click.echo(f"{click.style(mark, fg=colour)} {finding.name}: {plain(finding.detail)}")
        if finding.remedy and finding.outcome != "ok":
            click.echo(f"    {plain(finding.remedy)}")
    if as_json:
        document({"healthy": healthy, "findings": shown})
    return 0 if healthy else 2
