"""A shell whose `phasegate` has everything imported: `python -m tests.acceptance.scenarios.shell`.

Each command is a process of its own, as a shell's is, with its own environment and exit code; what it is spared is
two seconds of imports, which would be most of what the scenarios take.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.acceptance.lifecycle.conftest import Machine, Result
from typing_extensions import override

from phasegate.flows.cli import main

_IMPORTED = ("carry_on", "live", "outcome", "render", "session", "story")
_COMMANDS = ("decide", "engine", "requests", "run", "show", "watch")


class Shell:
    """The process that branches the commands off."""

    def __init__(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def call(self, words: list[str], environment: dict[str, str]) -> Result:
        """Run one command to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"words": words, "environment": environment}) + "\n")
        self._process.stdin.flush()
        return Result(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End it."""
        self._process.communicate()


@dataclass
class QuickMachine(Machine):
    """A machine whose commands start at once."""

    shell: Shell = field(default_factory=Shell)

    @override
    def phasegate(self, *arguments: str | Path, stdin: str = "", timeout: float = 120) -> Result:
        environment = {**os.environ, "PHASEGATE_HOME": str(self.home), **self.environment}
        return self.shell.call([str(word) for word in arguments], environment)


def _serve() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            if (child := os.fork()) == 0:
                _command(order["words"], order["environment"], out, err)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            out.seek(0)
            err.seek(0)
            print(json.dumps({"code": code, "out": out.read(), "err": err.read()}), flush=True)  # noqa: T201


def _command(words: list[str], environment: dict[str, str], out: IO[str], err: IO[str]) -> None:
    code = 70
    try:
        for target, opened in ((0, os.open(os.devnull, os.O_RDONLY)), (1, out.fileno()), (2, err.fileno())):
            os.dup2(opened, target)
        os.environ.clear()
        os.environ.update(environment)
        main(words)
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
    for name in ("phasegate.flows.intake", "phasegate.flows.report", "phasegate.flows.engine.control"):
        importlib.import_module(name)
    gc.freeze()
    _serve()
