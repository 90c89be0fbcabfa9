"""Output of a command: one JSON document, or text through rich.

With `--json`, standard output holds nothing but the document. Progress goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_WITHOUT_TERMINAL = 120


def document(value: Any) -> None:
    """Print one JSON document; other characters than ASCII are escaped, so none of them reaches a terminal."""
    click.echo(json.dumps(value, indent=2, default=str))


def say(text: str, *, as_json: bool = False) -> None:
    """Print a line on the way to a result. The text must be plain."""
    click.echo(text, err=as_json)


def console() -> Console:
    """A rich console on standard output that reads nothing into the text it is given."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH_WITHOUT_TERMINAL
    return Console(markup=False, highlight=False, emoji=False, width=width)
