"""Options and arguments that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """`--json`: one JSON document on standard output instead of text."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")(command)


def run_argument(command: F) -> F:
    """`RUN`: an id, the beginning of one, or `latest`."""
    return click.argument("run", metavar="RUN")(command)


def example(*lines: str) -> str:
    """The end of a command's help: lines to copy, kept as they are."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)
