"""Settings of this machine: its state folder, and the few limits that are the machine's and not a project's.

Read once by each process (CLI, engine) and handed on. What a project wants is its policy; nothing of that belongs
here, and nothing here may depend on a repository.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from phasegate.infra.errors import ConfigError
from phasegate.infra.policy.units import parse_duration
from phasegate.infra.system.private_folder import NotPrivateError, make_folder_in, make_private

_MARKS = frozenset({"engine.lock", "ledger.db"})
"""Files by which a state folder of phasegate is known."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Settings of one machine.

    Attributes:
        home: The state folder, an absolute path.
        hot_gate: How long a gate waits as a coroutine before it is suspended; zero suspends at once.
        max_hot: How many gates may wait hot at the same time.
        concurrency: How many flow runs may work at the same time; gates that wait do not count.
        database_url: Where the ledger is: `sqlite:///…`, or `postgresql://…`, which then holds the threads as well.
        lease: How long a run stays an engine's own without a sign of life; then another engine may take it.
    """

    home: Path
    hot_gate: timedelta = timedelta(minutes=15)
    max_hot: int = 50
    concurrency: int = 8
    database_url: str = ""
    lease: timedelta = timedelta(seconds=60)

    def __post_init__(self) -> None:
        """Put the ledger into the state folder unless a database was named."""
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{self.ledger}")

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings from environment variables.

        Effects: creates the state folder and those below it, readable by their owner only.

        Raises:
            ConfigError: A variable does not hold, or the state folder cannot be made.
        """
        settings = cls.read(env)
        settings.create_folders()
        return settings

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings from environment variables, and make no folder.

        Raises:
            ConfigError: A variable is invalid.
        """
        return cls(
            home=_home(env),
            hot_gate=_duration(env, "PHASEGATE_HOT_GATE", cls.hot_gate),
            max_hot=_count(env, "PHASEGATE_MAX_HOT", cls.max_hot, least=0),
            concurrency=_count(env, "PHASEGATE_CONCURRENCY", cls.concurrency, least=1),
            database_url=env.get("PHASEGATE_DATABASE_URL", ""),
            lease=_duration(env, "PHASEGATE_LEASE", cls.lease),
        )

    def as_environment(self) -> dict[str, str]:
        """The environment variables that say the same to another process."""
        return {
            "PHASEGATE_HOME": str(self.home),
            "PHASEGATE_HOT_GATE": f"{self.hot_gate.total_seconds():.3f}s",
            "PHASEGATE_MAX_HOT": str(self.max_hot),
            "PHASEGATE_CONCURRENCY": str(self.concurrency),
            "PHASEGATE_DATABASE_URL": self.database_url,
            "PHASEGATE_LEASE": f"{self.lease.total_seconds():.3f}s",
        }

    def create_folders(self) -> None:
        """Make the state folder and those below it, each with mode 0700.

        A state folder that others can read is closed to them, and the log says so.

        Raises:
            ConfigError: The file system refuses, or the state folder is not its user's alone.
        """
        folder = self.home
        try:
            if make_private(self.home, _MARKS):
                _log.warning("The state folder %s could be read by others. It is closed to them now.", self.home)
            for folder in (self.logs, self.prefect, self.workspaces, self.scratch, self.services):
                make_folder_in(folder)
        except OSError as error:
            raise ConfigError(
                f"The state folder {folder} cannot be made: {error.strerror}.",
                remedy="Name a folder you can write to in PHASEGATE_HOME.",
            ) from error
        except NotPrivateError as error:
            raise ConfigError(
                f"The state folder {folder} is not yours alone: {error}.",
                remedy="Name an empty folder in PHASEGATE_HOME that you own and that nobody else can replace.",
            ) from error

    @property
    def ledger(self) -> Path:
        """The ledger, unless `database_url` names another."""
        return self.home / "ledger.db"

    @property
    def threads(self) -> Path | str:
        """The agents' conversations: a file, or the address of the Postgres that holds the ledger too."""
        return self.database_url if self.database_url.startswith("postgresql") else self.home / "threads.db"

    @property
    def engine_lock(self) -> Path:
        """Locked by the engine for as long as it lives; never deleted."""
        return self.home / "engine.lock"

    @property
    def stop_lock(self) -> Path:
        """Locked by the process that stops the engine, so that one does so at a time."""
        return self.home / "stop.lock"

    @property
    def engine_file(self) -> Path:
        """File in which the running engine describes itself."""
        return self.home / "engine.json"

    @property
    def engine_socket(self) -> Path:
        """Unix socket that the engine listens on."""
        return self.home / "engine.sock"

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.home / "logs"

    @property
    def engine_log(self) -> Path:
        """The engine's log."""
        return self.logs / "engine.log"

    @property
    def prefect_log(self) -> Path:
        """The Prefect server's log."""
        return self.logs / "prefect.log"

    @property
    def prefect(self) -> Path:
        """The Prefect server's own folder, its PREFECT_HOME."""
        return self.home / "prefect"

    @property
    def prefect_credentials(self) -> Path:
        """File with the credentials that the Prefect server takes."""
        return self.prefect / "credentials"

    @property
    def workspaces(self) -> Path:
        """The runs' git worktrees."""
        return self.home / "workspaces"

    @property
    def scratch(self) -> Path:
        """Short-lived checkouts, such as grading makes."""
        return self.home / "scratch"

    @property
    def bases(self) -> Path:
        """Judgements of base commits; whatever is missing is made again."""
        return self.home / "bases"

    @property
    def layers(self) -> Path:
        """Files that setup commands made on base commits; whatever is missing is made again."""
        return self.bases / "layers"

    @property
    def services(self) -> Path:
        """Folders of the services that the `process` deploy target runs."""
        return self.home / "services"


def _home(env: Mapping[str, str]) -> Path:
    if named := env.get("PHASEGATE_HOME"):
        return Path(named).expanduser().absolute()
    if state := env.get("XDG_STATE_HOME"):
        return Path(state).absolute() / "phasegate"
    user = Path(env["HOME"]) if env.get("HOME") else Path.home()
    return user / ".local" / "state" / "phasegate"


def _duration(env: Mapping[str, str], name: str, default: timedelta) -> timedelta:
    if not (text := env.get(name)):
        return default
    try:
        value = parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"{name} is {error}.") from error
    if not isinstance(value, timedelta):
        raise ConfigError(f"{name} is not a duration: {text!r}; write for example 90s, 15m or 4h.")
    return value


def _count(env: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    if not (text := env.get(name)):
        return default
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"{name} is {text!r}, but must be a whole number of at least {least}.")
    return int(text)
