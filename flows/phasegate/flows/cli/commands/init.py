"""`phasegate init`: the first phasegate.toml of a repository."""

from __future__ import annotations

from pathlib import Path

import click

from phasegate.flows.cli.options import example, json_option
from phasegate.infra.errors import ConfigError, UsageError


@click.command(
    epilog=example("phasegate init", "git add phasegate.toml && git commit -m 'Add the policy for phasegate'")
)
@click.option("--repo", type=click.Path(path_type=Path), default=Path(), help="The repository.  [default: here]")
@click.option("--force", is_flag=True, help="Overwrite a phasegate.toml that is there.")
@json_option
def init(repo: Path, force: bool, as_json: bool) -> None:
    """Write phasegate.toml for this repository from what is found there.

    It holds only what was found out or differs from the defaults. Look it over and commit it: runs read it from the
    commit they start from.
    """
    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.sanitize import sanitize
    from phasegate.infra.policy.detect.detect import detect
    from phasegate.infra.workspace import Repository

    repository = Repository.open(repo)
    path = repository.top / "phasegate.toml"
    if path.exists() and not force:
        raise UsageError(f"{path} is there already", remedy="Edit it, or overwrite it with `phasegate init --force`.")
    detected = detect(repository.top)
    try:
        path.write_text(detected.toml, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    if as_json:
        document({"path": str(path), "content": detected.toml, "notes": detected.notes})
        return
    say(f"Wrote {path}:\n\n{sanitize(detected.toml)}")
    for note in detected.notes:
        say(f"! {sanitize(note)}")
    say("Next: look it over, commit it, and start with a ticket:")
    say("  git add phasegate.toml && git commit -m 'Add the policy for phasegate'")
    say("  phasegate doctor --run")
    say("  phasegate run ticket.md")
