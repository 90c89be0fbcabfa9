"""Stock Prefect: `prefect server start` and a served flow, with their defaults.

What differs from a first evening with Prefect: telemetry is off, and steps keep their results, without which every
resumption would begin from the top.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
from benchmarks.contender import ENGINE, Setup, Told
from benchmarks.processes import kill, spawn, until

_APP = Path(__file__).parent / "peers" / "prefect_app.py"
_APPROVAL_SECONDS = 90.0


class Prefect:
    """Prefect's server and its runner."""

    name = "Prefect (stock)"

    def open(self, setup: Setup) -> None:
        self._setup = setup
        self._told = Told(setup.folder / "told")
        self._hold = setup.folder / "hold"
        self._hold.touch()
        self._flow_runs: dict[str, str] = {}
        self._refused = 0
        self._server: subprocess.Popen[str] | None = None
        self._runner: subprocess.Popen[str] | None = None
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
            "PREFECT_HOME": str(setup.folder / "prefect"),
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_CLI_PROMPT": "false",
            "BENCHMARK_TOLD": str(self._told.path),
            "BENCHMARK_HOLD": str(self._hold),
            "BENCHMARK_LIMIT": str(setup.active),
        }
        self._api = httpx.Client(base_url=self._env["PREFECT_API_URL"], trust_env=False, timeout=60)
        command = [str(Path(sys.executable).with_name("prefect")), "server", "start", "--host", "127.0.0.1"]
        self._server = spawn(
            [*command, "--port", str(port)], env=self._env, log=setup.folder / "server.log", cwd=setup.folder
        )
        until(self._healthy, seconds=120, what="Prefect's server", step=0.2)
        self._serve()
        until(self._deployment, seconds=60, what="Prefect's deployment", step=0.2)

    def close(self) -> None:
        self._api.close()
        for process in (self._runner, self._server):
            if process is not None:
                kill(process)

    def start(self, count: int) -> list[str]:
        shape, deployment = self._setup.shape, self._deployment()
        runs: list[str] = []
        for _ in range(count):
            run = f"run-{len(self._flow_runs)}"
            parameters = {"run": run, "before": shape.before, "after": shape.after, "seconds": shape.seconds}
            body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
            self._flow_runs[run] = self._post(f"/deployments/{deployment}/create_flow_run", body)["id"]
            runs.append(run)
        return runs

    def waiting(self, runs: Sequence[str]) -> int:
        chosen = {"id": {"any_": [self._flow_runs[run] for run in runs]}, "state": {"name": {"any_": ["Suspended"]}}}
        count: int = self._post("/flow_runs/count", {"flow_runs": chosen})
        return count

    def finished(self, runs: Sequence[str]) -> int:
        told = self._told.moments()
        return sum("done" in told.get(run, {}) for run in runs)

    def gone_on(self, runs: Sequence[str]) -> int:
        told = self._told.moments()
        return sum("after" in told.get(run, {}) for run in runs)

    def approve(self, runs: Sequence[str]) -> None:
        deadline, left = time.monotonic() + _APPROVAL_SECONDS, list(runs)
        while left and time.monotonic() < deadline:
            left = [run for run in left if not self._resumed(run)]

    def moments(self, runs: Iterable[str]) -> Mapping[str, Mapping[str, list[float]]]:
        told = self._told.moments()
        return {run: told.get(run, {}) for run in runs}

    def kill(self) -> None:
        assert self._runner is not None
        kill(self._runner)

    def restart(self) -> None:
        for flow_run in self._flow_runs.values():
            if self._api.get(f"/flow_runs/{flow_run}").json()["state_type"] == "RUNNING":
                state = {"state": {"type": "SCHEDULED"}, "force": True}
                self._post(f"/flow_runs/{flow_run}/set_state", state)
        self._serve()

    def release(self) -> None:
        self._hold.unlink(missing_ok=True)

    def roots(self) -> list[int]:
        return [process.pid for process in (self._server, self._runner) if process is not None]

    def parts(self) -> Mapping[str, int]:
        found = {ENGINE: self._runner, "the Prefect server": self._server}
        return {name: process.pid for name, process in found.items() if process is not None}

    def remarks(self) -> list[str]:
        return [f"{self._refused} calls answered with 503"] if self._refused else []

    def _serve(self) -> None:
        folder = self._setup.folder
        self._runner = spawn([sys.executable, str(_APP)], env=self._env, log=folder / "runner.log", cwd=folder)

    def _healthy(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return self._api.get("/health").status_code == HTTPStatus.OK
        return False

    def _deployment(self) -> str | None:
        found = self._post("/deployments/filter", {})
        return found[0]["id"] if found else None

    def _resumed(self, run: str) -> bool:
        try:
            answer = self._api.post(f"/flow_runs/{self._flow_runs[run]}/resume", json={})
        except httpx.TransportError:
            return False
        if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            self._refused += 1
        return answer.is_success and answer.json()["status"] == "ACCEPT"

    def _post(self, path: str, body: Any) -> Any:
        for _ in range(50):
            answer = self._api.post(path, json=body)
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                return answer.raise_for_status().json()
            self._refused += 1
            time.sleep(0.2)
        raise TimeoutError(f"Prefect refuses {path}")
