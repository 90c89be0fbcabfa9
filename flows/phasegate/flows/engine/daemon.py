"""The engine's process: one at a time, with its Prefect server, until it is told to stop.

`control` starts it detached, `phasegate up` may run it in the foreground. The main thread takes the signals and the
event loop has a thread of its own: Prefect puts a SIGTERM handler of its own on any main thread that runs a flow, which
would raise in the middle of the event loop.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib.metadata
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Any

from phasegate.flows.engine import standby
from phasegate.flows.engine.info import EXIT_LOCK_HELD, EngineInfo, EngineLock
from phasegate.flows.engine.prefect_backend import server_process
from phasegate.infra.errors import EngineUnavailable, PhasegateError
from phasegate.infra.sanitize import sanitize
from phasegate.infra.secrets import Secrets
from phasegate.infra.settings import Settings
from phasegate.infra.system.detached import DetachedProcess

if TYPE_CHECKING:
    from phasegate.flows.engine.engine import Engine

LIFECYCLE = "phasegate.flows.lifecycle:lifecycle"
_LIFECYCLE_SERVICES = (
    "phasegate.flows.engine.reconciler:serve",
    "phasegate.flows.engine.service_reconciler:serve",
    "phasegate.flows.engine.cleaner:serve",
)
_DRAIN_SECONDS = 20.0
_WATCH_SECONDS = 0.5
_LONGEST_RECORD = 64 * 1024
"""Characters of a record in the engine's log."""
_MOST_ALTERATIONS = 20
_MODEL_KEY_SUFFIX = "_API_KEY"

_log = logging.getLogger(__name__)


class EngineRuns(EngineUnavailable):
    """Another engine runs already."""

    code = "engine-runs"
    remedy = "Stop it with `phasegate down`."


class Daemon:
    """The engine's process."""

    def __init__(self, settings: Settings, *, entrypoint: str = LIFECYCLE, services: Sequence[str] = ()) -> None:
        """An engine that is not started yet.

        Args:
            settings: The machine's settings.
            entrypoint: The flow, as `package.module:name`.
            services: Background services, as `package.module:name`.
        """
        self._settings = settings
        self._entrypoint = entrypoint
        self._services = services
        self._stop_requested = threading.Event()
        self._server: server_process.PrefectServer | None = None
        self._standby: DetachedProcess | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None
        self._info: EngineInfo
        self._info_lock = threading.Lock()

    def run(self) -> None:
        """Run until stopped by a signal or the socket; leaves nothing behind.

        Raises:
            EngineRuns: Another engine has the lock.
            EngineUnavailable: The Prefect server does not start.
            ConfigError: The entrypoint or a service does not exist.
        """
        lock = EngineLock(self._settings)
        if not lock.take():
            other = EngineInfo.read(self._settings)
            raise EngineRuns(f"Another engine runs already{f' (pid {other.process.pid})' if other else ''}.")
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._on_signal)
            self._server = server_process.adopt(self._settings)
            phase = "starting the Prefect server" if self._server is None else "adopting the Prefect server"
            self._server = self._server or server_process.start(self._settings)
            self._info = _describe(self._server, phase)
            self._info.write(self._settings)
            self._import(self._server)
            self._standby = self._fork_standby(lock)
            self._update_info(standby=self._standby)
            self._serve(self._prepare(self._server))
        finally:
            if self._standby is not None:
                standby.end(self._settings, self._standby)
            if self._server is not None:
                server_process.end(self._server.process)
            self._settings.engine_socket.unlink(missing_ok=True)
            self._settings.engine_file.unlink(missing_ok=True)
            lock.release()

    def _import(self, server: server_process.PrefectServer) -> None:
        """Import all modules of the engine, in the environment that Prefect reads at import."""
        for name in [name for name in os.environ if name.startswith("PREFECT_")]:
            del os.environ[name]  # the user's own Prefect, if any, is another one
        os.environ.update(server_process.environment(self._settings, server.port, server.credentials, {}))
        # Only now may Prefect be imported; it takes as long as the server does to come up.
        from phasegate.flows.engine.engine import load_flow, load_service  # noqa: PLC0415 -- see above

        load_flow(self._entrypoint)
        for name in self._services:
            load_service(name)

    def _fork_standby(self, lock: EngineLock) -> DetachedProcess | None:
        """Fork a standby while this process has but one thread: a fork has none of the others."""
        if threading.active_count() > 1:
            return None
        return standby.fork(self._settings, lock, become=main)

    def _prepare(self, server: server_process.PrefectServer) -> Engine:
        from phasegate.flows.engine.engine import Engine, load_service  # noqa: PLC0415 -- imported by now

        services = [load_service(name) for name in self._services]
        engine = Engine(self._settings, entrypoint=self._entrypoint, services=services)
        server.wait_until_healthy()
        return engine

    def _serve(self, engine: Engine) -> None:
        thread = threading.Thread(target=self._run_loop, args=(engine,), name="engine", daemon=True)
        thread.start()
        while thread.is_alive() and not self._stop_requested.wait(_WATCH_SECONDS):
            self._restart_server_if_dead()
        self._forward_stop(engine)
        thread.join(_DRAIN_SECONDS)
        if thread.is_alive():
            _log.error("A flow run did not let go within %.0f s; it is left as it is in Prefect.", _DRAIN_SECONDS)
        if self._error is not None:
            raise self._error

    def _restart_server_if_dead(self) -> None:
        if self._server is not None and not self._server.process.alive():
            _log.error("The Prefect server died; starting it again.")
            before = self._server
            self._server = server_process.start(self._settings, port=before.port, credentials=before.credentials)
            self._update_info(server=self._server.process, phase="ready")

    def _run_loop(self, engine: Engine) -> None:
        try:
            asyncio.run(self._run_engine(engine))
        except BaseException as error:  # noqa: BLE001 -- carried to the main thread, which raises it
            self._error = error

    async def _run_engine(self, engine: Engine) -> None:
        self._loop = asyncio.get_running_loop()
        freeze_loaded_objects()
        if self._stop_requested.is_set():
            engine.request_stop()
        await engine.serve(on_ready=lambda: self._update_info(phase="ready"), on_altered=self._add_alteration)

    def _add_alteration(self, text: str) -> None:
        time = datetime.now(tz=UTC).isoformat(timespec="seconds")
        with self._info_lock:
            alterations = [*self._info.alterations, f"{time} {text}"][-_MOST_ALTERATIONS:]
        self._update_info(alterations=alterations)

    def _update_info(self, **changes: Any) -> None:
        """Write the engine's description anew; called by the loop's thread and by the main one."""
        with self._info_lock:
            self._info = replace(self._info, **changes)
            self._info.write(self._settings)

    def _forward_stop(self, engine: Engine) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(engine.request_stop)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_requested.set()


def _describe(server: server_process.PrefectServer, phase: str) -> EngineInfo:
    return EngineInfo(
        process=DetachedProcess.of(os.getpid()) or DetachedProcess(os.getpid(), 0),
        server=server.process,
        api_url=server.api_url,
        ui_url=server.ui_url,
        started_at=datetime.now(tz=UTC).isoformat(timespec="seconds"),
        version=importlib.metadata.version("phasegate"),
        phase=phase,
        model_keys=sorted(name for name in os.environ if name.endswith(_MODEL_KEY_SUFFIX)),
        variables=sorted(os.environ),
    )


def freeze_loaded_objects() -> None:
    """Take what is loaded out of garbage collection: a full one would stop the loop for a fifth of a second."""
    gc.collect()
    gc.freeze()


class EngineLogFormatter(logging.Formatter):
    """Formats lines of the engine's log, tracebacks included: no secret of its environment, and nothing that hides."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secrets = Secrets.of(environment)

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, make visible what shows nothing, and mask its secrets."""
        text = super().format(record)
        if (more := len(text) - _LONGEST_RECORD) > 0:
            text = f"{text[:_LONGEST_RECORD]}… {more} characters left out"
        return self._secrets.mask(sanitize(text)).text


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the engine of this environment's state folder."""
    parser = argparse.ArgumentParser(prog="python -m phasegate.flows.engine")
    parser.add_argument("--entrypoint", default=LIFECYCLE, help="the flow, as package.module:name")
    parser.add_argument("--service", action="append", default=[], help="a background service, as package.module:name")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(EngineLogFormatter(os.environ))
    logging.getLogger("httpx").setLevel(logging.WARNING)
    status = 0
    try:
        settings = Settings.from_environment(os.environ)
        os.chdir(settings.home)  # Prefect reads settings from files in the working directory
        services = _LIFECYCLE_SERVICES if options.entrypoint == LIFECYCLE else options.service
        Daemon(settings, entrypoint=options.entrypoint, services=services).run()
    except PhasegateError as error:
        status = EXIT_LOCK_HELD if isinstance(error, EngineRuns) else error.exit_code
        sys.stderr.write(f"{error}\n")
    except Exception:  # noqa: BLE001 -- the process ends here, and its log says why
        status = 1
        _log.exception("The engine failed.")
    logging.shutdown()
    sys.stderr.flush()
    # Prefect's threads would keep calling a server that is gone, and a stuck flow's thread would keep us alive.
    os._exit(status)
