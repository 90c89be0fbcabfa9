"""phasegate, from another process: its ledger for what is durable, its socket to wake, its own way to start and stop.

A run's moments are read from the ledger: a step begins with its stage's first model call.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.contender import ENGINE, Setup
from benchmarks.processes import until
from benchmarks.project import RUN, Project, make_project

from phasegate.flows.engine import control
from phasegate.flows.engine.info import EngineInfo
from phasegate.flows.runs.kickoff import KickoffRequest, kick_off
from phasegate.infra.identity import local_person
from phasegate.infra.ledger import Ledger
from phasegate.infra.settings import Settings

_STAGE_OF_STEP = {"first": "prd", "after": "implementation"}


class Phasegate:
    """The engine, its Prefect server, and the ledger between it and us."""

    name = "phasegate"
    project: Project
    ledger: Ledger

    def __init__(self, *, cold: bool = False) -> None:
        """Choose what is killed.

        Args:
            cold: Whether the engine's standby is killed with it.
        """
        self._cold = cold
        if cold:
            self.name = "phasegate, no standby"
        self._settings: Settings | None = None
        self._started = 0

    def open(self, setup: Setup) -> None:
        self.project = make_project(setup)
        env = {**os.environ, "PHASEGATE_HOME": str(setup.folder / "home")}
        env |= {"PHASEGATE_CONCURRENCY": str(setup.active)} if setup.active else {}
        env |= {} if setup.hot else {"PHASEGATE_HOT_GATE": "0s"}
        self._settings = Settings.from_environment(env)
        self.ledger = Ledger.open(self._settings.database_url)
        self._up()

    def close(self) -> None:
        if self._settings is not None:
            command = [str(Path(sys.executable).with_name("phasegate")), "down", "--services"]
            env = os.environ | self._settings.as_environment()
            subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True, timeout=120)
            self.ledger.close()

    def start(self, count: int) -> list[str]:
        script = self.project.script.read_text()
        runs: list[str] = []
        for _ in range(count):
            self._started += 1
            numbered = self.project.script.with_name("numbered.yaml")
            numbered.write_text(script.replace(RUN, str(self._started)))
            request = KickoffRequest(
                str(self.project.ticket), self.project.top, rehearsal=numbered, approve=("change", "release")
            )
            run = kick_off(
                request,
                ledger=self.ledger,
                settings=self._in_use(),
                person=local_person(),
                environment=os.environ,
                stdin=lambda: b"",
            )
            control.wake(self._in_use(), run.id)
            runs.append(run.id)
        return runs

    def waiting(self, runs: Sequence[str]) -> int:
        return len({run.id for run in self.ledger.runs.list(statuses=("waiting",))}.intersection(runs))

    def finished(self, runs: Sequence[str]) -> int:
        return len({run.id for run in self.ledger.runs.list(statuses=("done",))}.intersection(runs))

    def gone_on(self, runs: Sequence[str]) -> int:
        # Asked four times a second about hundreds: one query instead of one for each.
        with closing(sqlite3.connect(f"file:{self._in_use().ledger}?mode=ro", uri=True)) as ledger:
            query = "SELECT DISTINCT attempt_id FROM exchanges WHERE attempt_id LIKE '%/implementation/%'"
            called = ledger.execute(query).fetchall()
            return len({attempt.partition("/")[0] for (attempt,) in called}.intersection(runs))

    def approve(self, runs: Sequence[str]) -> None:
        for run in runs:
            gate = next(gate for gate in self.ledger.gates.waiting(run) if gate.gate == "prd")
            self.ledger.gates.decide(gate.id, "approve", local_person())
            control.wake(self._in_use(), run)

    def moments(self, runs: Iterable[str]) -> Mapping[str, Mapping[str, list[float]]]:
        return {run: self._moments(run) for run in runs}

    def kill(self) -> None:
        standby = self._in_use().home / "standby.sock"
        until(standby.exists, seconds=60, what="the standby")
        info = EngineInfo.read(self._in_use())
        assert info is not None
        if self._cold and info.standby is not None:
            info.standby.signal(signal.SIGKILL)
            assert info.standby.wait(10)
            standby.unlink()
        info.process.signal(signal.SIGKILL)
        assert info.process.wait(10)

    def restart(self) -> None:
        self._up()

    def release(self) -> None:
        self.project.hold.unlink(missing_ok=True)

    def roots(self) -> list[int]:
        info = EngineInfo.read(self._in_use())
        assert info is not None
        return [process.pid for process in (info.process, info.server) if process is not None]

    def parts(self) -> Mapping[str, int]:
        info = EngineInfo.read(self._in_use())
        assert info is not None
        found = {ENGINE: info.process, "the Prefect server": info.server, "the standby": info.standby}
        return {name: process.pid for name, process in found.items() if process is not None}

    def remarks(self) -> list[str]:
        log = self._in_use().engine_log.read_text(errors="replace")
        errors = [line for line in log.splitlines() if " ERROR " in line]
        return [f"{len(errors)} errors in the engine's log, the first: {errors[0]}"] if errors else []

    def _up(self) -> None:
        control.start(self._in_use())
        until(lambda: control.status(self._in_use()), seconds=60, what="the engine")

    def _in_use(self) -> Settings:
        assert self._settings is not None
        return self._settings

    def _moments(self, run: str) -> Mapping[str, list[float]]:
        moments: dict[str, list[float]] = {}
        for event in self.ledger.events(run):
            if event.kind == "gate.opened":
                moments.setdefault("gate", []).append(event.at.timestamp())
            if event.kind == "attempt.started" and event.payload["attempt"].startswith(f"{run}/implementation/"):
                moments.setdefault("middle", []).append(event.at.timestamp())
            if event.kind == "run.done":
                moments.setdefault("done", []).append(event.at.timestamp())
        for exchange in self.ledger.exchanges.list(run):
            stage = exchange.attempt_id.removeprefix(f"{run}/").partition("/")[0]
            for step in (step for step, name in _STAGE_OF_STEP.items() if name == stage):
                called = exchange.at.timestamp() - exchange.latency_seconds
                moments.setdefault(step, []).append(called)
        return moments
