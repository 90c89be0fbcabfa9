"""Start of a plain process as a service manager starts it: with a late number and an input of its own.

Runs inside the sandbox, with an interpreter of our own, as the parent of the plain process. It stands in the place of
process 1 where it can. Variables of test runners are taken out of the environment.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import re
import signal
import sys
from typing import Any

_OF_RUNNERS = re.compile(
    r"CI|CONTINUOUS_INTEGRATION|BUILD_ID|BUILD_NUMBER|GITHUB_\w+|GITLAB_\w+|PYTEST\w*|PY_COLORS|TOX\w*|NOX\w*|COVERAGE\w*"
    r"|PWD|OLDPWD|GO111MODULE|PYTHONDONTWRITEBYTECODE|NODE_ENV|NODE_TEST\w*|JEST\w*|VITEST\w*|MOCHA\w*|AVA_\w+|npm_\w+|INIT_CWD|GOCOVERDIR"
)
"""Variables that a release does not have."""
_SET_NAME, _SET_DUMPABLE = 15, 4
"""Numbers of prctl(2)."""
_ARGUMENTS_FROM, _ARGUMENTS_TO = 45, 46
"""Fields of /proc/self/stat behind the name. Source: proc(5)."""
_INPUT = b"y\n" * 64


def take_numbers(count: int) -> None:
    """Use up numbers of processes, as a machine in use has done; threads take numbers, too."""
    lock = _thread.allocate_lock()
    lock.acquire()
    for _ in range(count):
        _thread.start_new_thread(lock.release, ())
        lock.acquire()


def look_like_init() -> None:
    """Take the name and the command line of a service manager, and show nothing else of this process."""
    library = ctypes.CDLL(None)
    library.prctl(_SET_NAME, b"systemd", 0, 0, 0)
    with open("/proc/self/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    start, end = int(fields[_ARGUMENTS_FROM]), int(fields[_ARGUMENTS_TO])
    words = b"/sbin/init\0"
    if 0 < start < end - len(words):
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, words, len(words))
    library.prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def leave_open(writing: int, seconds: float) -> None:
    """Keep an input open without writing to it, and close it when the time is over."""

    def close(*_: Any) -> None:
        os.close(writing)

    signal.signal(signal.SIGALRM, close)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def main(count: int, idle: float, command: list[str]) -> int:
    """Run a command and wait for it, and for orphans. Returns its exit code.

    Args:
        count: Numbers of processes that are in use before it.
        idle: Seconds for which its input holds nothing and stays open; 0: it holds some lines from the beginning.
        command: A program and its arguments.
    """
    if os.getpid() < count:
        take_numbers(count)
    look_like_init()  # what it starts begins with a name of its own
    reading, writing = os.pipe()
    if not idle:
        os.write(writing, _INPUT)
        os.close(writing)
    child = os.fork()
    if not child:
        os.setsid()  # services lead a session each
        os.dup2(reading, 0)
        environment = {name: value for name, value in os.environ.items() if not _OF_RUNNERS.fullmatch(name)}
        os.execvpe(command[0], command, environment)  # noqa: S606 - a program, as it is given
    os.close(reading)
    if idle:
        leave_open(writing, idle)
    while True:
        ended, status = os.wait()
        if ended == child:
            return abs(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
