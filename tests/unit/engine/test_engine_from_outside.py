from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from phasegate.flows.engine import control, ipc
from phasegate.flows.engine.info import EngineInfo, EngineLock, engine_alive
from phasegate.flows.engine.wakeups import WakeupRegistry
from phasegate.infra.errors import EngineUnavailable
from phasegate.infra.settings import Settings
from phasegate.infra.system import detached
from phasegate.infra.system.detached import DetachedProcess


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment({"PHASEGATE_HOME": str(tmp_path / "home")})


def myself() -> DetachedProcess:
    process = DetachedProcess.of(os.getpid())
    assert process is not None
    return process


def test_control_imports_nothing_heavy() -> None:
    probe = "import sys, phasegate.flows.engine.control; print(*sys.modules)"

    modules = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True).stdout.split()

    assert not {"prefect", "langgraph", "httpx", "sqlalchemy", "pydantic"} & set(modules)


def test_a_process_id_is_not_fooled_by_a_reused_pid() -> None:
    assert myself().alive()
    assert not replace(myself(), start_time=myself().start_time - 1).alive()


def test_a_detached_process_logs_and_tells_its_exit_code(tmp_path: Path) -> None:
    script = "import os; print('said', os.getsid(0) == os.getpid(), flush=True); raise SystemExit(3)"
    process = detached.spawn([sys.executable, "-c", script], env={}, log=tmp_path / "log")

    assert process.wait(10)
    assert detached.exit_code(process) == 3
    assert (tmp_path / "log").read_text() == "said True\n"


def test_a_signal_ends_a_process_and_wait_says_when_it_does_not(tmp_path: Path) -> None:
    process = detached.spawn(
        [sys.executable, "-c", "input(open(0).read() or __import__('time').sleep(60))"], env={}, log=tmp_path / "log"
    )
    assert not process.wait(0.05)

    process.signal(signal.SIGKILL)

    assert process.wait(10)
    assert detached.exit_code(process) == -signal.SIGKILL


def test_the_lock_has_one_holder(settings: Settings) -> None:
    first, second = EngineLock(settings), EngineLock(settings)
    assert not engine_alive(settings)

    assert first.take()
    assert engine_alive(settings)
    assert not second.take()

    first.release()
    assert second.take()
    second.release()


def test_engine_info_survives_its_file(settings: Settings) -> None:
    info = EngineInfo(
        process=myself(), server=myself(), api_url="http://x/api", phase="ready", model_keys=["A_API_KEY"]
    )

    info.write(settings)

    assert info == EngineInfo.read(settings)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"process": 1, "server": null}'])
def test_a_broken_engine_file_is_no_engine(text: str, settings: Settings) -> None:
    settings.engine_file.write_text(text)

    assert EngineInfo.read(settings) is None
    assert control.status(settings) is None


def test_a_stale_engine_file_is_no_engine_and_stop_removes_it(settings: Settings) -> None:
    EngineInfo(process=myself(), phase="ready").write(settings)

    assert control.status(settings) is None
    assert not control.stop(settings)
    assert not settings.engine_file.exists()


def test_wake_without_an_engine_does_nothing(settings: Settings) -> None:
    control.wake(settings, "run-1")


def test_an_engine_that_cannot_start_says_why(settings: Settings) -> None:
    with pytest.raises(EngineUnavailable, match="cannot import no_such_module") as caught:
        control.start(settings, entrypoint="no_such_module:flow")

    assert str(settings.engine_log) in caught.value.remedy
    assert not settings.engine_file.exists()
    assert not engine_alive(settings)


async def test_the_socket_answers_in_a_deep_folder_and_is_private(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["deep" * 10] * 4)
    folder.mkdir(parents=True)
    path = folder / "engine.sock"

    async def answer(request: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "heard": request}

    async with await ipc.serve(path, answer):
        heard = await asyncio.to_thread(ipc.request, path, {"verb": "ping"}, timeout=timedelta(seconds=5))
        mode = path.stat().st_mode & 0o777
        lines = await asyncio.to_thread(_ask_raw, path, b"nonsense\n[]\n")

    assert heard == {"ok": True, "heard": {"verb": "ping"}}
    assert mode == 0o600
    assert lines == [b'{"ok": false, "error": "not a JSON object"}\n'] * 2


def _ask_raw(path: Path, text: bytes) -> list[bytes]:
    import socket

    with socket.socket(socket.AF_UNIX) as connection, ipc._address(path) as address:
        connection.connect(address)
        connection.sendall(text)
        with connection.makefile("rb") as lines:
            return [lines.readline(), lines.readline()]


def test_asking_nobody_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        ipc.request(tmp_path / "engine.sock", {}, timeout=timedelta(seconds=1))


async def test_a_wakeup_reaches_only_its_own_run() -> None:
    wakeups = WakeupRegistry()
    with wakeups.subscribe("a") as a, wakeups.subscribe("b") as b:
        assert wakeups.subscriber_count == 2
        assert wakeups.notify("a")
        assert a.is_set()
        assert not b.is_set()

    assert not wakeups.notify("a")
    assert wakeups.subscriber_count == 0


def test_threads_that_stop_nothing_at_once_agree(settings: Settings) -> None:
    outcomes: list[bool] = []
    threads = [threading.Thread(target=lambda: outcomes.append(control.stop(settings))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert outcomes == [False] * 20
