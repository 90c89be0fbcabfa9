"""An engine of its own for this room's tests, driven as the command line would: from another process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.prefect_api import ask_prefect

from phasegate.flows.engine import control
from phasegate.flows.engine.info import EngineInfo
from phasegate.infra.settings import Settings

_PATIENCE_SECONDS = 240.0


@dataclass
class Bench:
    """A state folder, the tiny flow's folder, and ways to wait."""

    settings: Settings
    tiny: Path

    def start(self) -> EngineInfo:
        return control.start(self.settings, entrypoint="tiny_flow:tiny", services=["tiny_flow:outbox"])

    def start_twice_at_once(self) -> list[EngineInfo]:
        engines: list[EngineInfo] = []
        threads = [threading.Thread(target=lambda: engines.append(self.start())) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return engines

    def engine(self) -> EngineInfo:
        info = control.status(self.settings)
        assert info is not None
        return info

    def kill(self) -> EngineInfo:
        info = self.engine()
        info.process.signal(signal.SIGKILL)
        assert info.process.wait(10)
        return info

    def run(self, run_id: str, *, hold: bool = False) -> Path:
        folder = self.tiny / run_id
        folder.mkdir()
        if hold:
            (folder / "hold").touch()
        (folder / "ask").touch()
        return folder

    def told(self, run_id: str) -> list[str]:
        file = self.tiny / run_id / "told"
        return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []

    def decide(self, run_id: str) -> None:
        (self.tiny / run_id / "decided").touch()
        control.wake(self.settings, run_id)

    def api(self, path: str, body: dict[str, Any]) -> Any:
        return ask_prefect(self.settings, path, body).raise_for_status().json()

    def flow_run(self, run_id: str) -> dict[str, Any]:
        found = self.api("/flow_runs/filter", {"flow_runs": {"tags": {"all_": [f"run:{run_id}"]}}})
        assert len(found) <= 1
        return found[0] if found else {"state_name": None}

    def force(self, run_id: str, **state: str) -> None:
        self.api(f"/flow_runs/{self.flow_run(run_id)['id']}/set_state", {"state": state, "force": True})

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.settings.engine_log.read_text()[-4000:]
            time.sleep(0.01)

    def until_told(self, run_id: str, *expected: str) -> None:
        self.until(lambda: self.told(run_id) == list(expected))

    def until_state(self, run_id: str, state: str) -> None:
        self.until(lambda: self.flow_run(run_id)["state_name"] == state)


def _processes(home: Path) -> list[str]:
    """The command lines of all processes that belong to a state folder."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"PHASEGATE_HOME={home}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench with an engine that two callers started at once; at the end nothing of it may run."""
    folder = tmp_path_factory.mktemp("engine")
    (folder / "tiny").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINY_FOLDER", str(folder / "tiny"))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")  # the user's own Prefect, to be left alone
        patch.setenv("SOME_MODEL_API_KEY", "secret")
        env = os.environ | {"PHASEGATE_HOME": str(folder / "home"), "PHASEGATE_CONCURRENCY": "2"}
        bench = Bench(Settings.from_environment(env), folder / "tiny")
        try:
            engines = bench.start_twice_at_once()
            assert engines[0] == engines[1]
            yield bench
        finally:
            control.stop(bench.settings)
        assert not _processes(bench.settings.home)
        assert not bench.settings.engine_file.exists()
        assert not bench.settings.engine_socket.exists()
