"""Standby of the engine: it has imported everything, and becomes the next engine when a command asks it to.

The engine forks it before it begins to serve. `control` asks it before it starts a fresh process, because importing
Prefect and LangGraph is nearly all of what a restart takes. It opens nothing and knows no run until then. It ends when
its engine stops, and by itself when no engine has come for a while.
"""

from __future__ import annotations

import gc
import importlib.metadata
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from phasegate.flows.engine import ipc
from phasegate.flows.engine.info import EngineInfo, EngineLock
from phasegate.flows.engine.prefect_backend import server_process
from phasegate.infra import crash_points
from phasegate.infra.documents.json_text import read_json_table
from phasegate.infra.settings import Settings
from phasegate.infra.system.detached import DetachedProcess

_ASK_TIMEOUT = timedelta(seconds=1)
_PROBE_SECONDS = 5.0
_PROBES_WITHOUT_ENGINE = 12
_END_SECONDS = 5.0
_PREFECT_URL = "PREFECT_API_URL"

_log = logging.getLogger(__name__)


def fork(settings: Settings, lock: EngineLock, become: Callable[[Sequence[str]], None]) -> DetachedProcess:
    """Fork a standby from this process, which has imported all that an engine needs and has one thread so far.

    Parent and standby share the memory of their imports for as long as neither writes to it.

    Args:
        settings: The engine's settings.
        lock: The engine's lock. The standby releases it: a lock lasts until the last process has closed its file.
        become: Runs an engine, with the arguments of one that is started afresh.

    Returns:
        The standby. In the standby itself, this function never returns.
    """
    gc.freeze()  # a collection would write to every object, and so part the two
    sys.stderr.flush()
    if pid := os.fork():
        return DetachedProcess.of(pid) or DetachedProcess(pid, 0)
    try:
        lock.release()
        _leave_engine(settings)
        _await_promotion(settings, become)
    except BaseException:  # noqa: BLE001 -- above is the engine's own stack, which must not be unwound here
        _log.exception("The standby failed.")
    os._exit(1)


def promote(settings: Settings, command: Sequence[str], environment: Mapping[str, str]) -> DetachedProcess | None:
    """Promote the standby to be the engine.

    Args:
        settings: The engine's settings.
        command: The command line of a fresh engine.
        environment: Its whole environment, keys included: the socket is its owner's alone.

    Returns:
        The process of the new engine, or None if no standby can take over.
    """
    request = {"command": list(command), "environment": dict(environment), "version": _version()}
    try:
        answer = ipc.request(_socket(settings), request, timeout=_ASK_TIMEOUT)
        return DetachedProcess(**answer["process"]) if answer.get("ok") else None
    except (OSError, ValueError):
        return None


def _leave_engine(settings: Settings) -> None:
    """Become a process of its own, whatever happens to the engine's terminal."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    for target, path in ((0, Path(os.devnull)), (1, settings.engine_log), (2, settings.engine_log)):
        opened = os.open(path, os.O_RDONLY if target == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, target)
        os.close(opened)


def _await_promotion(settings: Settings, become: Callable[[Sequence[str]], None]) -> None:
    """Wait, and become the engine when asked to."""
    prefect = (os.environ.get(_PREFECT_URL, ""), os.environ.get(server_process.AUTH_VARIABLE, ""))
    waiting = _Watch(settings)
    waiting.start()
    request = _await_request(settings)
    waiting.cancelled.set()
    os.environ.clear()
    os.environ.update(request["environment"])
    crash_points.arm(os.environ)
    previous = EngineInfo.read(settings)
    current = (previous.api_url if previous else "", server_process.read_credentials(settings))
    if current != prefect:  # Prefect has read these, and there is another server now
        os.execv(sys.executable, request["command"])  # noqa: S606 -- as `control` would have started it
    become(request["command"][request["command"].index("phasegate.flows.engine") + 1 :])


def _await_request(settings: Settings) -> dict[str, Any]:
    path = _socket(settings)
    with ipc.bind(path) as listener:
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rwb") as lines:
                try:
                    request = read_json_table(lines.readline(), "the request")
                except ValueError:
                    continue
                ok = request.get("version") == _version()
                if ok:
                    path.unlink(missing_ok=True)
                process = DetachedProcess.of(os.getpid()) or DetachedProcess(os.getpid(), 0)
                lines.write(json.dumps({"ok": ok, "process": vars(process)}).encode() + b"\n")
            if ok:
                return request


class _Watch(threading.Thread):
    """Ends this process when another standby took its place, or no engine has come for a while."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="standby-watch", daemon=True)
        self._settings, self._lock = settings, EngineLock(settings)
        self.cancelled = threading.Event()

    def run(self) -> None:
        alone = 0
        while alone < _PROBES_WITHOUT_ENGINE:
            if self.cancelled.wait(_PROBE_SECONDS):
                self._lock.release()
                return
            engine = EngineInfo.read(self._settings)
            replaced = engine is not None and engine.standby not in {None, DetachedProcess.of(os.getpid())}
            if replaced or not self._settings.home.is_dir():
                break
            alone = 0 if self._lock.held() else alone + 1
        os._exit(0)


def end(settings: Settings, process: DetachedProcess) -> None:
    """End a standby whose engine stops."""
    process.signal(signal.SIGKILL)  # it holds nothing
    process.wait(_END_SECONDS)
    _socket(settings).unlink(missing_ok=True)


def _socket(settings: Settings) -> Path:
    return settings.home / "standby.sock"


def _version() -> str:
    return importlib.metadata.version("phasegate")
