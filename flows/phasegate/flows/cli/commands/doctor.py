"""`phasegate doctor`: what a run needs, checked before it needs it."""

from __future__ import annotations

from pathlib import Path

import click

from phasegate.flows.cli.options import example, json_option

_NEEDED_BY_TESTS = {"git", "sandbox", "state folder", "policy"}
_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red")}


@click.command(epilog=example("phasegate doctor", "phasegate doctor --run"))
@click.option("--repo", type=click.Path(path_type=Path), default=Path(), help="The repository.  [default: here]")
@click.option("--run", "runs_tests", is_flag=True, help="Run the project's tests as grading does, too.")
@json_option
def doctor(repo: Path, runs_tests: bool, as_json: bool) -> int:
    """Check what runs need; each ✗ comes with its remedy.

    Looks at git, the sandbox, pytest, the state folder, this repository's policy, the model keys it wants, the engine
    and the network. Exits 2 when something that is needed does not hold. With --run, the project's own tests run on
    the current commit; exits 1 when they tell nothing.
    """
    import os
    from dataclasses import asdict

    from phasegate.flows.cli.actions.checks import CheckContext, run_checks
    from phasegate.flows.cli.output import document
    from phasegate.flows.cli.sanitize import sanitize
    from phasegate.infra.errors import BaseTellsNothing
    from phasegate.infra.settings import Settings

    context = CheckContext(Settings.read(os.environ), os.environ, repo)
    findings = run_checks(context)
    failed: set[str] = set()
    shown: list[dict[str, str]] = []
    for finding in findings:
        failed |= {finding.name} if finding.outcome == "failed" else set()
        if as_json:
            shown.append(asdict(finding))
            continue
        mark, colour = _MARKS[finding.outcome]
        click.echo(f"{click.style(mark, fg=colour)} {finding.name}: {sanitize(finding.detail)}")
        if finding.remedy and finding.outcome != "ok":
            click.echo(f"    {sanitize(finding.remedy)}")
    summary = None
    if runs_tests and not failed & _NEEDED_BY_TESTS:
        from phasegate.flows.cli.actions.base_run import judge_current

        summary = judge_current(context, lambda step: click.echo(f"… {step}", err=True))
    if as_json:
        base = {} if summary is None else {"base": summary.model_dump(mode="json")}
        document({"healthy": not failed, "findings": shown, **base})
    elif summary is not None:
        click.echo(sanitize("\n".join(summary.markdown_lines()).strip()))
        if summary.reason:
            click.echo(f"    {sanitize(BaseTellsNothing.remedy)}")
    if failed:
        return 2
    return 1 if summary is not None and summary.reason else 0
