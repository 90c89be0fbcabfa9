"""Start, stop, ask and wake the engine from another process.

For the command line and the console: imports nothing heavy, so that `phasegate --help` stays quick. Two callers at once
are as good as one: the engine's lock decides.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from phasegate.flows.engine import ipc, standby
from phasegate.flows.engine.info import EXIT_LOCK_HELD, EngineInfo, EngineLock, engine_alive
from phasegate.flows.engine.prefect_backend import server_process
from phasegate.infra.errors import ConfigError, EngineUnavailable
from phasegate.infra.settings import Settings
from phasegate.infra.system import detached

OnProgress = Callable[[str], None]

_ASK_TIMEOUT = timedelta(seconds=2)
_START_SECONDS = 180.0
_STOP_SECONDS = 40.0
_KILL_SECONDS = 5.0
_LOG_LINES = 15


def status(settings: Settings) -> EngineInfo | None:
    """The engine that serves now, or None if there is none or it is not ready."""
    info = EngineInfo.read(settings)
    if info is None or info.phase != "ready" or not info.process.alive() or not engine_alive(settings):
        return None
    return info if _ask(settings, {"verb": "ping"}) else None


def start(
    settings: Settings,
    *,
    on_progress: OnProgress = lambda _: None,
    entrypoint: str | None = None,
    services: Sequence[str] = (),
    stop_on_interrupt: bool = False,
) -> EngineInfo:
    """Make sure that an engine serves: start one, detached, if none does.

    Args:
        settings: The machine's settings.
        on_progress: Called with a few words at each change of the engine's phase.
        entrypoint: Another flow than the lifecycle, as `package.module:name`.
        services: Background services, as `package.module:name`.
        stop_on_interrupt: True to end the engine that this call started if Ctrl-C comes before it serves.

    Raises:
        EngineUnavailable: It did not come up; the message has the end of its log.
    """
    settings.create_folders()
    command = [
        sys.executable,
        "-P",
        "-m",
        "phasegate.flows.engine",
    ]  # -P: the folder one stands in is no source of code
    command += ["--entrypoint", entrypoint] if entrypoint else []
    for service in services:
        command += ["--service", service]
    attempts: list[_Attempt] = []
    try:
        return _started(settings, command, on_progress, attempts)
    except KeyboardInterrupt:
        if stop_on_interrupt and attempts:
            attempts[-1].end()  # it may not have the engine's lock yet, and would take it later
            stop(settings)
        raise


def _started(
    settings: Settings, command: Sequence[str], on_progress: OnProgress, attempts: list[_Attempt]
) -> EngineInfo:
    """Wait until an engine serves; each that is started is added to `attempts`."""
    deadline = time.monotonic() + _START_SECONDS
    attempt: _Attempt | None = None
    reported = ""
    while (info := status(settings)) is None:
        if attempt is None and not engine_alive(settings):
            attempts.append(attempt := _Attempt(settings, command))
        if attempt is not None and attempt.over():
            attempt = None  # another caller's engine was quicker, and serves soon
        if time.monotonic() > deadline:
            raise EngineUnavailable(
                f"The engine is not ready after {_START_SECONDS:.0f} s.\n{_log_tail(settings)}",
                remedy=f"Read {settings.engine_log} and {settings.prefect_log}.",
            )
        coming = EngineInfo.read(settings)
        phase = coming.phase if coming and coming.process.alive() else "starting the engine"
        if phase not in {reported, "ready"}:
            on_progress(reported := phase)
        time.sleep(0.05)
    on_progress("ready")
    return info


def stop(settings: Settings) -> bool:
    """Stop the engine and its Prefect server, or clean up after an engine that died.

    Two callers take turns: the second one waits, and finds nothing to do.

    Returns:
        False if there was nothing to do.

    Raises:
        EngineUnavailable: It does not end.
    """
    try:
        turn = settings.stop_lock.open("w")
    except OSError as error:
        raise ConfigError(
            f"The lock {settings.stop_lock} cannot be opened: {error.strerror}.",
            remedy="Move it away, or name another folder in PHASEGATE_HOME.",
        ) from error
    with turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # else the engine's lock, which this takes, would look like an engine
        return _stop(settings)


def _stop(settings: Settings) -> bool:
    lock = EngineLock(settings)
    try:
        was_alive = lock.held()
        if was_alive:
            engine = EngineInfo.read(settings)  # now: it removes its file before it ends
            _ask_to_stop(settings, engine)
            _wait_for_end(settings, lock, engine)
        elif not lock.take():
            return _stop(settings)  # one started in between
        return _clean_up(settings) or was_alive
    finally:
        lock.release()


def login_link(settings: Settings, engine: EngineInfo) -> str:
    """A link that logs a browser in to Prefect's pages, once and within five minutes."""
    return server_process.login_link(settings, engine)


def wake(settings: Settings, run_id: str) -> None:
    """Wake the engine for a run; does nothing if there is no engine."""
    _ask(settings, {"verb": "wake", "run_id": run_id})


def _ask(settings: Settings, request: dict[str, object]) -> bool:
    try:
        return bool(ipc.request(settings.engine_socket, request, timeout=_ASK_TIMEOUT).get("ok"))
    except (OSError, ValueError):
        return False


def _ask_to_stop(settings: Settings, engine: EngineInfo | None) -> None:
    if not _ask(settings, {"verb": "stop"}) and engine is not None:
        engine.process.signal(signal.SIGTERM)


def _wait_for_end(settings: Settings, lock: EngineLock, engine: EngineInfo | None) -> None:
    """Wait until the lock is free and the process is gone, which happens in this order, a moment apart."""
    if not _taken(lock, _STOP_SECONDS):
        if engine is not None:
            engine.process.signal(signal.SIGKILL)
        if engine is None or not _taken(lock, _KILL_SECONDS):
            raise EngineUnavailable("The engine does not end.", remedy=f"Read {settings.engine_log}.")
    if engine is not None and not engine.process.wait(_KILL_SECONDS):
        engine.process.signal(signal.SIGKILL)
        engine.process.wait(_KILL_SECONDS)


def _taken(lock: EngineLock, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not lock.take():
        if time.monotonic() > deadline:
            return False
    return True


def _clean_up(settings: Settings) -> bool:
    """End the server a dead engine left and remove its files; the caller has the lock."""
    previous = EngineInfo.read(settings)
    alive = previous is not None and previous.server is not None and previous.server.alive()
    if previous is not None and previous.server is not None:
        server_process.end(previous.server)
    if previous is not None and previous.standby is not None:
        standby.end(settings, previous.standby)
    settings.engine_file.unlink(missing_ok=True)
    settings.engine_socket.unlink(missing_ok=True)
    return alive


def _log_tail(settings: Settings) -> str:
    try:
        lines = settings.engine_log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-_LOG_LINES:])


class _Attempt:
    """An engine that this process started."""

    def __init__(self, settings: Settings, command: Sequence[str]) -> None:
        self._settings = settings
        env = os.environ | settings.as_environment()
        self._summoned = standby.promote(settings, command, env)
        self._process = self._summoned or detached.spawn(command, env=env, log=settings.engine_log)

    def end(self) -> None:
        """End it, whether it has begun to serve or not."""
        self._process.signal(signal.SIGTERM)
        if not self._process.wait(_STOP_SECONDS):
            self._process.signal(signal.SIGKILL)

    def over(self) -> bool:
        """True if it ended, because another engine has the lock, or because a standby could not do it.

        Raises:
            EngineUnavailable: It ended for another reason.
        """
        if self._summoned is not None:  # no child of this process: its exit code is unknown, a fresh engine tells
            return not self._summoned.alive()
        code = detached.exit_code(self._process)
        if code is None or code == EXIT_LOCK_HELD:
            return code is not None
        raise EngineUnavailable(
            f"The engine ended with status {code} while it was starting.\n{_log_tail(self._settings)}",
            remedy=f"Read {self._settings.engine_log} and {self._settings.prefect_log}.",
        )
