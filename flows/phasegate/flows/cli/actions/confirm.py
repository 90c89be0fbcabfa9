"""Preview of the effects that a command undoes, and the question before it on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from phasegate.flows.cli.output import say
from phasegate.flows.cli.sanitize import one_line, sanitize
from phasegate.infra.ledger import Effect


def asks_first(*, yes: bool, as_json: bool) -> bool:
    """True if a person at a terminal is asked before a command undoes anything."""
    return not yes and not as_json and sys.stdin.isatty() and sys.stdout.isatty()


def confirmed(run_id: str, command: str, effects: Sequence[Effect]) -> bool:
    """Print the effects that a command undoes, and ask.

    Args:
        run_id: The run.
        command: The command's name.
        effects: The effects to undo, oldest first.

    Returns:
        True if the command is to be given.
    """
    print_undoing(run_id, effects, as_json=False)
    if click.confirm(f"Go on with `{command}`?"):
        return True
    say("Nothing is done.")
    return False


def print_undoing(run_id: str, effects: Sequence[Effect], *, as_json: bool) -> None:
    """Print the effects that a command undoes, newest first."""
    standing = [effect for effect in reversed(effects) if effect.status != "undone"]
    say(f"Undoes of run {run_id}, newest first:" if standing else f"Run {run_id} has nothing to undo.", as_json=as_json)
    for effect in standing:
        owner = f" (made by run {sanitize(effect.run_id)})" if effect.run_id != run_id else ""
        say(f"  {sanitize(effect.kind)}: {one_line(effect.compensation, 200)}{owner}", as_json=as_json)
