"""A user's machine, as a person with only the command line has it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phasegate.flows.views.report import report
from phasegate.infra.errors import PhasegateError
from phasegate.infra.identity import local_person
from phasegate.infra.ledger import Ledger
from phasegate.infra.settings import Settings

_LOOK_SECONDS = 0.05
_LOOKS = 10
"""After so many, what is asked may have changed elsewhere than in the ledger."""
COMMAND = Path(sys.executable).with_name("phasegate")


@dataclass
class Result:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Machine:
    """A user's machine: a state folder, an engine, and the command."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def phasegate(self, *arguments: str | Path, stdin: str = "", timeout: float = 400) -> Result:
        """Run the command as a careful person does, who looks at a gate's page before an approval."""
        if arguments[:1] == ("approve",) and "--subject" not in arguments:
            with contextlib.suppress(PhasegateError):  # the command will say it
                self._look_at_gate(str(arguments[1]))
        return self.bare(*arguments, stdin=stdin, timeout=timeout)

    def bare(self, *arguments: str | Path, stdin: str = "", timeout: float = 400) -> Result:
        """Run the installed command, and nothing before it."""
        environment = {**os.environ, "PHASEGATE_HOME": str(self.home), **self.environment}
        done = subprocess.run(
            [COMMAND, *map(str, arguments)],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def _look_at_gate(self, run: str) -> None:
        """Record that this user had the page of the gate that a run waits at, as `phasegate show` does."""
        ledger = self.ledger()
        try:
            for gate in ledger.gates.waiting(ledger.runs.find(run).id):
                ledger.gates.record_shown(gate, local_person().name)
        finally:
            ledger.close()

    def show(self, run: str) -> dict[str, Any]:
        """`show --json` of a run."""
        result = self.phasegate("show", run, "--json")
        shown: dict[str, Any] = result.json
        return shown

    def until(self, run: str, ready: Callable[[dict[str, Any]], bool], *, seconds: float = 300) -> dict[str, Any]:
        """Wait until a run's `show` is as wanted: asked of the ledger, since a command takes a second to start."""
        deadline = time.monotonic() + seconds
        ledger = self.ledger()
        try:
            while True:
                newest = ledger.newest(run).position
                if ready(shown := report(ledger, run).document()):
                    break
                if time.monotonic() > deadline:
                    logs = self.phasegate("logs", run).out
                    raise AssertionError(f"still {shown['status']}: {shown.get('reason')}\n{logs}")
                looks = 0
                while ledger.newest(run).position == newest and looks < _LOOKS:
                    looks += 1
                    time.sleep(_LOOK_SECONDS)
        finally:
            ledger.close()
        return shown

    def stops(self, run: str) -> dict[str, Any]:
        """Wait until a run waits for a person, or has ended."""
        return self.until(run, lambda shown: shown["status"] not in {"accepted", "running"})

    def ledger(self) -> Ledger:
        """The machine's ledger; to be closed."""
        url = self.environment.get("PHASEGATE_DATABASE_URL", "")
        return Ledger.open(Settings(home=self.home, database_url=url).database_url)
