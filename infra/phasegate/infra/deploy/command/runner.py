"""Runs one of the team's own commands to its end, and keeps all it says. Used by the `command` target and `migrations`.

What a `kill -9` of ours left running is found by its mark and stopped before the command is run once more.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from phasegate.infra.deploy.process.services import GRACE
from phasegate.infra.documents.json_text import read_json_table
from phasegate.infra.errors import DocumentUnreadable
from phasegate.infra.system.processes import ending, start, stop_all

_POLL = timedelta(milliseconds=50)
_TAIL_BYTES, _TAIL_LINES = 4000, 20
_MOST_PRINTED = 1_000_000
_ALWAYS_INHERITED = ("HOME", "LANG")
_SUCCESS = "exited with code 0"
_TRY_AGAIN = f"exited with code {os.EX_TEMPFAIL}"


class CommandFailed(Exception):
    """The command did not do what it is there for; the text says why, with the end of what it said.

    Attributes:
        temporary: True if it said itself that another try may do, by the exit code 75 (EX_TEMPFAIL).
    """

    def __init__(self, why: str, *, temporary: bool = False) -> None:
        """Say why."""
        super().__init__(why)
        self.temporary = temporary


def inherited_environment(environment: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """Variables that a command of the team's inherits: PATH, HOME, LANG and those that policy names."""
    path = f"{environment.get('PATH', os.defpath)}{os.pathsep}{Path(sys.executable).parent}"
    return {name: environment[name] for name in (*_ALWAYS_INHERITED, *names) if name in environment} | {"PATH": path}


async def run_command(
    command: str, *, folder: Path, log: Path, environment: Mapping[str, str], mark: str, limit: timedelta
) -> dict[str, Any]:
    """Run a command, and read the JSON object it prints on standard output.

    Args:
        command: For `/bin/sh`.
        folder: Where it runs.
        log: Receives its standard error as it comes, and its standard output at its end.
        environment: The whole environment, besides the mark.
        mark: No two with the same one run at a time.
        limit: Then it is stopped, with all it started.

    Raises:
        CommandFailed: It failed, took too long, or printed something else.
    """
    await stop_all(mark, (), grace=GRACE)
    printed, offset = log.with_name(f"{log.name}.printed"), _size(log)
    printed.unlink(missing_ok=True)
    ended = await _ended(f"exec >{shlex.quote(str(printed))}\n{command}", folder, log, environment, mark, limit)
    output = _move_output(printed, log)
    _require_success(ended, log, offset)
    try:
        return read_json_table(output, "its output")
    except DocumentUnreadable as error:
        raise CommandFailed(f"it printed no JSON object ({error.reason})\n{_tail(log, offset)}") from error


async def run_to_end(
    command: str, *, folder: Path, log: Path, environment: Mapping[str, str], mark: str, limit: timedelta
) -> str:
    """Run a command whose output only people read; as `run_command`.

    Returns:
        The end of its output.

    Raises:
        CommandFailed: It failed, or took too long.
    """
    await stop_all(mark, (), grace=GRACE)
    offset = _size(log)
    ended = await _ended(command, folder, log, environment, mark, limit)
    _require_success(ended, log, offset)
    return _tail(log, offset)


async def _ended(
    command: str, folder: Path, log: Path, environment: Mapping[str, str], mark: str, limit: timedelta
) -> str:
    """Run a command, and end all it started.

    Returns:
        How it ended, in words.
    """
    process = start(command, folder=folder, log=log, environment=environment, mark=mark)
    try:
        async with asyncio.timeout(limit.total_seconds()):
            while (ended := ending(process)) is None:  # noqa: ASYNC110 -- /proc tells, and it tells nobody by itself
                await asyncio.sleep(_POLL.total_seconds())
    except TimeoutError:
        ended = f"took longer than {limit}"
    finally:
        await stop_all(mark, (process,), grace=GRACE)  # it, if it has not ended, and whatever it left behind
    return ended


def _require_success(ended: str, log: Path, offset: int) -> None:
    if ended != _SUCCESS:
        raise CommandFailed(f"it {ended}\n{_tail(log, offset)}", temporary=ended == _TRY_AGAIN)


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _move_output(printed: Path, log: Path) -> bytes:
    """Move what a command printed into the log.

    Returns:
        The output, cut off at a limit.
    """
    output = printed.read_bytes()[:_MOST_PRINTED] if printed.exists() else b""
    with log.open("ab") as file:
        file.write(output)
    printed.unlink(missing_ok=True)
    return output


def _tail(log: Path, offset: int) -> str:
    with log.open("rb") as file:
        file.seek(max(offset, log.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join(["It said at the end:", *(f"  {line}" for line in lines)]) if lines else "It said nothing."
