"""Options and arguments that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """`--json`: one JSON document on standard output instead of text."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")(command)


def run_argument(command: F) -> F:
    """`RUN`: an id, the beginning of one, or `latest`, the newest of this repository."""
    return click.argument("run", metavar="RUN")(command)


def key_option(command: F) -> F:
    """`--key`: the key to sign with, where identity is `ssh`."""
    file = click.Path(path_type=Path, exists=True, dir_okay=False)
    text = "Sign with this SSH key.  [default: git's user.signingKey]"
    return click.option("--key", type=file, help=text)(command)


def signing_options(command: F) -> F:
    """`--key`, `--print`, `--as` and `--signature`: how a decision or a command is signed, where identity is `ssh`."""
    file = click.Path(path_type=Path, exists=True, dir_okay=False)
    for decorate in (
        click.option("--as", "principal", default="", help="With --print: who will sign, where their key is not here."),
        click.option("--signature", type=file, help="A signature made on another machine, of what --print prints."),
        click.option("--print", "printing", is_flag=True, help="Print the exact bytes to sign, and do nothing."),
        key_option,
    ):
        command = decorate(command)
    return command


def yes_option(command: F) -> F:
    """`--yes`: undo without the question that a terminal is asked."""
    return click.option("--yes", is_flag=True, help="Undo without asking; where there is no terminal nobody is asked.")(
        command
    )


def pager_option(command: F) -> F:
    """`--no-pager`: print a long page as it is."""
    return click.option("--no-pager", is_flag=True, help="Print a long page at once, not through $PAGER or less.")(
        command
    )


def example(*lines: str) -> str:
    """The end of a command's help: lines to copy, kept as they are."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)
