"""A machine whose `phasegate` has everything imported; its server is `python -m tests.quick_machine`.

Each command is a process of its own, as a shell's is, with its own environment and exit code. It is spared two seconds
of imports, which would be most of the time of many tests. `tests.machine` runs the command as it is installed, and some
tests of each kind use that.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.machine import Machine, Result
from typing_extensions import override

from phasegate.flows.cli import main

_IMPORTED = ("actions.handoff", "session", "views.event_text", "views.live", "views.next_steps", "views.run_page")
_COMMANDS = ("decide", "engine", "requests", "run", "show", "watch")


class _Shell:
    """A process that branches commands off, one at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        atexit.register(self._process.communicate)

    def call(self, order: Mapping[str, Any]) -> Result:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Result(**json.loads(self._process.stdout.readline()))


_IDLE: list[_Shell] = []
"""Shells that run nothing just now: as many as commands ever ran at the same time."""


class QuickMachine(Machine):
    """A machine whose commands start at once."""

    @override
    def bare(self, *arguments: str | Path, stdin: str = "", timeout: float = 400) -> Result:
        shell = _IDLE.pop() if _IDLE else _Shell()
        order = {
            "words": [str(word) for word in arguments],
            "environment": {**os.environ, "PHASEGATE_HOME": str(self.home), **self.environment},
            "folder": str(Path.cwd()),
            "stdin": stdin,
            "seconds": round(timeout),
        }
        result = shell.call(order)
        _IDLE.append(shell)
        return result


@contextmanager
def quick_machine(home: Path, environment: Mapping[str, str] | None = None) -> Generator[QuickMachine]:
    """A machine whose engine the first command that needs one starts, and that is down with its services afterwards."""
    machine = QuickMachine(home, dict(environment or {}))
    try:
        yield machine
    finally:
        machine.phasegate("down", "--services")


def _serve() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        with (
            tempfile.TemporaryFile("w+") as given,
            tempfile.TemporaryFile("w+") as out,
            tempfile.TemporaryFile("w+") as err,
        ):
            given.write(order["stdin"])
            given.flush()
            os.lseek(given.fileno(), 0, os.SEEK_SET)
            if (child := os.fork()) == 0:
                _command(order, given, out, err)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            out.seek(0)
            err.seek(0)
            print(json.dumps({"code": code, "out": out.read(), "err": err.read()}), flush=True)  # noqa: T201 - the answer to its caller


def _command(order: Mapping[str, Any], *streams: IO[str]) -> None:
    code = 70
    try:
        signal.alarm(order["seconds"])
        for target, opened in enumerate(streams):
            os.dup2(opened.fileno(), target)
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        main(order["words"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  a fork must never return into its parent's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for name in _IMPORTED:
        importlib.import_module(f"phasegate.flows.cli.{name}")
    for name in _COMMANDS:
        importlib.import_module(f"phasegate.flows.cli.commands.{name}")
    for name in ("phasegate.flows.runs.kickoff", "phasegate.flows.views.report", "phasegate.flows.engine.control"):
        importlib.import_module(name)
    gc.freeze()
    _serve()
