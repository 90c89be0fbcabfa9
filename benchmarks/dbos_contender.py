"""DBOS on SQLite, as shipped: the application, and its client in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.contender import ENGINE, Setup, Told
from benchmarks.processes import kill, spawn, until

PYTHON = Path(__file__).parents[1] / ".venv-bench" / "bin" / "python"
_PEERS = Path(__file__).parent / "peers"


class Dbos:
    """DBOS, polling its database as it does when nothing is said."""

    name = "DBOS (SQLite)"

    def open(self, setup: Setup) -> None:
        self._setup = setup
        self._told = Told(setup.folder / "told")
        self._hold = setup.folder / "hold"
        self._hold.touch()
        self._count = 0
        self._app: subprocess.Popen[str] | None = None
        self._door: subprocess.Popen[str] | None = None
        self._env = {
            **os.environ,
            "BENCHMARK_TOLD": str(self._told.path),
            "BENCHMARK_HOLD": str(self._hold),
            "BENCHMARK_DATABASE": f"sqlite:///{setup.folder / 'dbos.db'}",
        }
        self._launch()
        self._door = subprocess.Popen(
            [PYTHON, _PEERS / "dbos_door.py"],
            env=self._env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self._ask("start", [])

    def close(self) -> None:
        for process in (self._door, self._app):
            if process is not None:
                kill(process)

    def start(self, count: int) -> list[str]:
        runs = [f"run-{self._count + number}" for number in range(count)]
        self._count += count
        self._ask("start", runs)
        return runs

    def waiting(self, runs: Sequence[str]) -> int:
        told = self._told.moments()
        return sum("gate" in told.get(run, {}) for run in runs)

    def finished(self, runs: Sequence[str]) -> int:
        told = self._told.moments()
        return sum("done" in told.get(run, {}) for run in runs)

    def gone_on(self, runs: Sequence[str]) -> int:
        told = self._told.moments()
        return sum("after" in told.get(run, {}) for run in runs)

    def approve(self, runs: Sequence[str]) -> None:
        self._ask("approve", runs)

    def moments(self, runs: Iterable[str]) -> Mapping[str, Mapping[str, list[float]]]:
        told = self._told.moments()
        return {run: told.get(run, {}) for run in runs}

    def kill(self) -> None:
        assert self._app is not None
        kill(self._app)

    def restart(self) -> None:
        self._launch(wait=False)

    def release(self) -> None:
        self._hold.unlink(missing_ok=True)

    def roots(self) -> list[int]:
        return [self._app.pid] if self._app is not None else []

    def parts(self) -> Mapping[str, int]:
        return {ENGINE: self._app.pid} if self._app is not None else {}

    def remarks(self) -> list[str]:
        return []

    def _launch(self, *, wait: bool = True) -> None:
        folder = self._setup.folder
        self._app = spawn([str(PYTHON), str(_PEERS / "dbos_app.py")], env=self._env, log=folder / "app.log", cwd=folder)
        if wait:
            until(lambda: "ready" in self._told.moments().get("-", {}), seconds=60, what="DBOS")

    def _ask(self, verb: str, runs: Sequence[str]) -> None:
        shape = self._setup.shape
        assert self._door is not None
        assert self._door.stdin is not None
        assert self._door.stdout is not None
        request = {"verb": verb, "runs": list(runs), "arguments": [shape.before, shape.after, shape.seconds]}
        self._door.stdin.write(json.dumps(request) + "\n")
        self._door.stdin.flush()
        assert self._door.stdout.readline() == "ok\n", (self._setup.folder / "app.log").read_text()
