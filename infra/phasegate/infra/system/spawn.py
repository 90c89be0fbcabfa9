"""Starts a process that outlives this one. Standard library only: the small supervisor of a service uses it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from phasegate.infra.system.shell import replacing_the_shell, tolerant

MARK = "PHASEGATE_RELEASE"
"""The environment variable that holds a process's mark."""
_FRESH_SIGNALS = [signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1]
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def spawn(command: str, *, folder: Path, log: Path, environment: Mapping[str, str], first: Sequence[str] = ()) -> int:
    """Start a shell command detached: own session, no standard input, output appended to a log.

    Args:
        command: For `/bin/sh`; given to `exec` when it is a single program's call, so that signals reach it.
        folder: The working directory.
        log: Receives standard output and error.
        environment: The whole environment.
        first: What the shell runs on itself before, such as limits; a step that fails is passed over.

    Returns:
        The process id.
    """
    return os.posix_spawn(
        "/bin/sh",
        ["/bin/sh", "-c", f'cd "$0" || exit\n{tolerant(first)}{replacing_the_shell(command)}', str(folder)],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), _APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=_FRESH_SIGNALS,
    )
