"""Entry point of `phasegate`: calls the command and turns every outcome into a message and an exit code.

Only this module of the command line may catch every exception. Nothing below it prints an error or ends the process.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from phasegate.flows.cli.output import OutputLostError, for_terminal, guarded_output
from phasegate.flows.cli.root import phasegate
from phasegate.flows.cli.sanitize import sanitize
from phasegate.infra.errors import PhasegateError, UsageError

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended, as shells have it."""

_ALLOCATIONS = 200_000
"""Allocations between two collections of garbage: importing makes some 100,000 objects, and none of them is garbage."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line and exit with its code.

    Args:
        arguments: The words after `phasegate`; None for the process's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    gc.set_threshold(_ALLOCATIONS)
    sys.exit(_exit_code(words))


def _exit_code(words: list[str]) -> int:
    try:
        with guarded_output():
            return _outcome(words)
    except OutputLostError as error:
        with contextlib.suppress(OSError):
            print(f"Error: the output cannot be written: {error.strerror}.", file=sys.stderr)
        return PhasegateError.exit_code


def _outcome(words: list[str]) -> int:
    as_json = "--json" in words
    try:
        result = phasegate.main(args=words or ["--help"], prog_name="phasegate", standalone_mode=False)
    except PhasegateError as error:
        return _report(error, as_json=as_json)
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        usage = context.get_usage() if context else ""
        return _report(UsageError(error.format_message(), remedy=usage), as_json=as_json)
    except (click.Abort, KeyboardInterrupt) as error:
        cause = error.__cause__ if isinstance(error, click.Abort) else error
        print(sanitize(str(cause or "")) or "Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except OutputLostError:
        raise
    except Exception as error:  # noqa: BLE001  the last resort: a person gets a sentence, the log gets the rest
        return _report(_defect(error, words), as_json=as_json)
    return result if isinstance(result, int) else 0


def _report(error: PhasegateError, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": error.as_json()}, indent=2))
    else:
        print(for_terminal(f"Error: {sanitize(error.message)}", sys.stderr), file=sys.stderr)
        if error.remedy:
            print(for_terminal(sanitize(error.remedy), sys.stderr), file=sys.stderr)
    return error.exit_code


def _defect(error: Exception, words: list[str]) -> PhasegateError:
    if os.environ.get("PHASEGATE_DEBUG"):
        traceback.print_exc()
    log = _write_log(words)
    return PhasegateError(
        f"phasegate hit a defect of its own: {type(error).__name__}: {error}",
        remedy=f"The details are in {log}." if log else "Set PHASEGATE_DEBUG=1 to see the details.",
    )


def _write_log(words: list[str]) -> Path | None:
    from phasegate.infra.settings import Settings

    try:
        path = Settings.from_environment(os.environ).logs / "cli.log"
        with path.open("a") as log:
            log.write(f"phasegate {' '.join(words)}\n{traceback.format_exc()}\n")
    except (OSError, PhasegateError):
        return None
    return path
