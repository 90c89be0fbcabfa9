"""The demo's own corner of the machine: a folder with a state folder and a fresh repository in it.

Whatever runs from it is stopped at the end, also on Ctrl-C and on failure.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Never

from phasegate.flows.cli.demo.examples import SERVICE, find_examples
from phasegate.flows.engine import control
from phasegate.infra.deploy.process.services import services, stop_service
from phasegate.infra.errors import RepositoryError
from phasegate.infra.settings import Settings
from phasegate.infra.workspace.git import clean_environment, failure_message, run_git

_NOT_COPIED = shutil.ignore_patterns("__pycache__", ".pytest_cache", ".venv", "*.pyc")
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Scratch:
    """The folders and settings of the demo.

    Attributes:
        folder: Everything is below it.
        repository: A fresh git repository with the sample service.
        settings: A machine of its own.
    """

    folder: Path
    repository: Path
    settings: Settings

    def ticket(self, name: str) -> Path:
        """A ticket's file."""
        return self.folder / "tickets" / f"{name}.md"

    def script(self, name: str) -> Path:
        """The rehearsal script of a ticket."""
        return self.folder / "rehearsals" / f"{name}.yaml"


def make_scratch() -> Scratch:
    """Make the folder, and turn this process's phasegate to it.

    Effects: a new folder; `PHASEGATE_HOME` of this process, from which the engine takes it.

    Raises:
        RepositoryError: git does not work here.
        ConfigError: The examples are missing.
    """
    folder = Path(tempfile.mkdtemp(prefix="phasegate-demo-"))
    shutil.copytree(find_examples(), folder, ignore=_NOT_COPIED, dirs_exist_ok=True)
    repository = folder / SERVICE
    _commit_all(repository)
    os.environ["PHASEGATE_HOME"] = str(folder / "home")
    os.environ.pop("PHASEGATE_DATABASE_URL", None)  # the demo's ledger is its own
    return Scratch(folder, repository, Settings.from_environment(os.environ))


@contextmanager
def nothing_left_running(scratch: Scratch, *, keep: bool) -> Generator[None]:
    """Stop the engine and the services at the end, however it comes; with `keep` only when it comes badly.

    SIGTERM and a closed terminal end the block like Ctrl-C.
    """
    before = {number: signal.signal(number, _interrupt) for number in _ENDING_SIGNALS}
    ended_well = False
    try:
        yield
        ended_well = True
    finally:
        for number in (*_ENDING_SIGNALS, signal.SIGINT):
            before.setdefault(number, signal.signal(number, signal.SIG_IGN))  # a second Ctrl-C leaves nothing behind
        if not (keep and ended_well):
            _stop(scratch.settings)
        for number, action in before.items():
            signal.signal(number, action)


def _interrupt(_number: int, _frame: FrameType | None) -> Never:
    raise KeyboardInterrupt


def _stop(settings: Settings) -> None:
    try:
        control.stop(settings)
    finally:
        for state in services(settings.home):
            asyncio.run(stop_service(settings.home, state.service))


def _commit_all(repository: Path) -> None:
    environment = clean_environment() | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    for words in (("init", "-q", "-b", "main"), ("add", "--all"), ("commit", "-q", "-m", "Add the service")):
        done = run_git(words, environment, repository)
        if done.returncode != 0:
            raise RepositoryError(f"git {words[0]} failed: {failure_message(done)}")
