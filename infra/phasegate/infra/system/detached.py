"""Processes that outlive the one that started them: the engine and its Prefect server.

Used by `control` and `server_process`; imports nothing heavy. `subprocess` is for children one waits for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from phasegate.infra.system.process_table import row


@dataclass(frozen=True)
class DetachedProcess:
    """Identity of a process that holds for ever: a pid alone is given to another process some day.

    Attributes:
        pid: The process id.
        start_time: When the kernel started it, in clock ticks since boot.
    """

    pid: int
    start_time: int

    @classmethod
    def of(cls, pid: int) -> DetachedProcess | None:
        """The process that has this pid now, or `None` if there is none or only a zombie."""
        process = row(pid)
        return None if process is None or process.ended else cls(pid, process.started)

    def alive(self) -> bool:
        """True if this very process still runs."""
        return DetachedProcess.of(self.pid) == self

    def signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def wait(self, seconds: float) -> bool:
        """Wait until it is gone.

        Returns:
            False if it still runs after so many seconds.
        """
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


def spawn(command: Sequence[str], *, env: Mapping[str, str], log: Path) -> DetachedProcess:
    """Start a program in a session of its own, so that a terminal's Ctrl-C does not reach it.

    It stays in the caller's working directory and inherits the descriptors the caller made inheritable.

    Args:
        command: The program, as an absolute path, and its arguments.
        env: Its whole environment.
        log: Appended with all it prints.
    """
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        pid = os.posix_spawn(
            command[0],
            list(command),
            env,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
        )
    finally:
        os.close(output)
    return DetachedProcess.of(pid) or DetachedProcess(pid, 0)


def exit_code(process: DetachedProcess) -> int | None:
    """Exit code of a child process, or minus the signal that ended it, or `None` while it runs."""
    pid, wait_status = os.waitpid(process.pid, os.WNOHANG)
    return None if pid == 0 else os.waitstatus_to_exitcode(wait_status)
