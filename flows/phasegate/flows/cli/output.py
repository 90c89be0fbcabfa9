"""Output of a command: one JSON document, or text through rich.

With `--json`, standard output holds nothing but the document. Progress goes to standard error.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_WIDTH_WITHOUT_TERMINAL = 80
_NARROWEST = 20
_JOINED = "\N{NO-BREAK SPACE}"


class OutputLostError(OSError):
    """Standard output takes nothing: its disk is full, or its other end is broken."""


class _GuardedOutput:
    """Standard output that tells its own failures from those of other files, and remembers the first."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._failure: OutputLostError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._guarded():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._guarded():
            self._stream.flush()

    def finish(self) -> None:
        """Write all that is left; a failure that click caught is raised again."""
        self.flush()
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def _guarded(self) -> Generator[None]:
        try:
            yield
        except BrokenPipeError:
            raise  # the reader has what it wanted: click ends the process without a word
        except OSError as error:
            self._failure = self._failure or OutputLostError(error.errno, error.strerror)
            raise self._failure from error


@contextmanager
def guarded_output() -> Generator[None]:
    """Guard standard output for the block, and write all that is left at its end.

    Raises:
        OutputLostError: It takes nothing; what is left for it is thrown away.
    """
    stream = sys.stdout
    if stream is None:  # pyright: ignore[reportUnnecessaryComparison]  it was closed when the process was started
        yield
        return
    guarded = _GuardedOutput(stream)
    sys.stdout = cast("TextIO", guarded)
    try:
        yield
        guarded.finish()
    except OutputLostError:
        with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
        raise
    finally:
        sys.stdout = stream


def document(value: Any) -> None:
    """Print one JSON document; other characters than ASCII are escaped, so none of them reaches a terminal."""
    click.echo(json.dumps(value, indent=2, default=str))


def say(text: str, *, as_json: bool = False) -> None:
    """Print a line on the way to a result. The text must be plain."""
    click.echo(for_terminal(text, sys.stderr if as_json else sys.stdout), err=as_json)


def for_terminal(text: str, stream: IO[str] | None) -> str:
    """Text whose lines a terminal need not cut: broken between words, but neither indented lines nor commands.

    Args:
        text: Plain text.
        stream: The stream it is for; `None` if it was closed when the process was started.
    """
    if stream is None or not stream.isatty():
        return text
    width = max(_NARROWEST, shutil.get_terminal_size().columns)
    return "\n".join(_wrapped(line, width) for line in text.split("\n"))


def _wrapped(line: str, width: int) -> str:
    if len(line) <= width or line.startswith(" "):
        return line
    import textwrap

    joined = re.sub(r"`[^`]*`", lambda command: command[0].replace(" ", _JOINED), line)
    lines = textwrap.wrap(joined, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace(_JOINED, " ")


def console(**options: Any) -> Console:
    """A rich console on standard output that reads nothing into the text it is given.

    Without a terminal it is as wide as COLUMNS says, or 80 columns.
    """
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH_WITHOUT_TERMINAL
    return Console(markup=False, highlight=False, emoji=False, width=width, **options)


def show_page(page: RenderableType, *, pager: bool) -> None:
    """Print a page; one that is longer than the terminal goes through the pager that PAGER names, or `less`.

    Args:
        page: The page.
        pager: False to print it in any case.
    """
    screen = console()
    command = os.environ.get("PAGER", "less").strip()
    if not pager or not sys.stdout.isatty() or command in {"", "cat"}:
        screen.print(page, crop=False)
        return
    with screen.capture() as captured:
        screen.print(page, crop=False)
    text = captured.get()
    if text.count("\n") < screen.size.height or shutil.which(command.split()[0]) is None:
        click.echo(text, nl=False)
        return
    with suppress(KeyboardInterrupt):  # the pager stops what it shows; the command has nothing else to do
        # F: leave at once if all fits, R: show colours, X: leave the page on the screen; as git has it
        subprocess.run(
            ["/bin/sh", "-c", command],
            input=text.encode(errors="replace"),
            env={"LESS": "FRX", **os.environ},
            check=False,
        )
