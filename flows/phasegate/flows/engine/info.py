"""Engine as other processes see it: its file and its lock.

Used by the engine itself, by the Prefect server it starts, and by `control`; must import nothing heavy.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field

from phasegate.infra.documents.json_text import read_json_table
from phasegate.infra.errors import ConfigError
from phasegate.infra.settings import Settings
from phasegate.infra.system.detached import DetachedProcess

EXIT_LOCK_HELD = 75  # EX_TEMPFAIL: how an engine ends that finds another one
_LOCK_PATIENCE_SECONDS = 1.0  # `engine_alive` of another process holds the lock for an instant


@dataclass(frozen=True)
class EngineInfo:
    """The engine's description of itself in engine.json.

    Attributes:
        process: The engine's process.
        server: The Prefect server's process; None until it is started.
        standby: The process that waits to become the next engine; None until it is started.
        api_url: The Prefect server's API.
        ui_url: The Prefect server's user interface.
        started_at: When the engine started, ISO 8601 in UTC.
        version: phasegate's version.
        phase: What it is doing, for people; "ready" once it serves.
        model_keys: The names of the model key variables in its environment, never their values.
        alterations: What somebody altered in Prefect, and the engine put right: the last ones, `TIME SENTENCE` each.
        variables: The names of all variables in its environment; none for an earlier version's engine.
    """

    process: DetachedProcess
    server: DetachedProcess | None = None
    standby: DetachedProcess | None = None
    api_url: str = ""
    ui_url: str = ""
    started_at: str = ""
    version: str = ""
    phase: str = "starting"
    model_keys: list[str] = field(default_factory=list[str])
    alterations: list[str] = field(default_factory=list[str])
    variables: list[str] = field(default_factory=list[str])

    def write(self, settings: Settings) -> None:
        """Replace engine.json in one step."""
        draft = settings.engine_file.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n")
        draft.replace(settings.engine_file)

    @classmethod
    def read(cls, settings: Settings) -> EngineInfo | None:
        """Read engine.json, or return None if it is missing or malformed."""
        try:
            fields = read_json_table(settings.engine_file.read_bytes(), "engine.json")
            server, standby = fields.pop("server"), fields.pop("standby", None)
            return cls(
                process=DetachedProcess(**fields.pop("process")),
                server=None if server is None else DetachedProcess(**server),
                standby=None if standby is None else DetachedProcess(**standby),
                **fields,
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None


class EngineLock:
    """Lock that makes the engine the only one over its state folder. The kernel releases it at any death."""

    def __init__(self, settings: Settings) -> None:
        """Open the lock file, without locking it.

        Raises:
            ConfigError: It cannot be opened, or something else is in its place.
        """
        try:
            self._file = os.open(settings.engine_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise ConfigError(
                f"The engine's lock {settings.engine_lock} cannot be opened: {error.strerror}.",
                remedy="Move it away, or name another folder in PHASEGATE_HOME.",
            ) from error

    def take(self) -> bool:
        """Take the lock.

        Returns:
            False if another process has it.
        """
        deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.02)
            else:
                return True

    def held(self) -> bool:
        """True if an engine has the lock. Several processes may ask at once without seeing each other."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return False

    def release(self) -> None:
        """Release the lock and close the file."""
        os.close(self._file)


def engine_alive(settings: Settings) -> bool:
    """True if an engine has the lock at this instant."""
    lock = EngineLock(settings)
    try:
        return lock.held()
    finally:
        lock.release()
