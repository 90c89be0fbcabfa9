"""Reads many objects by one git process: a process for each would take minutes for a change of many files.

Used by `Repository.reading` and `objects`. It must not know what the objects are for. Source: git-cat-file(1), "BATCH
OUTPUT".
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from phasegate.infra.errors import RepositoryError

if TYPE_CHECKING:
    import subprocess

    from phasegate.infra.workspace.git import Git


class ObjectReader:
    """Reader of objects by their names, for as many users as there are; the process ends with the last one."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._lock = threading.Lock()
        self._users = 0
        self._process: subprocess.Popen[bytes] | None = None

    def enter(self) -> None:
        """Count one more user."""
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """Count one user less, and end the process after the last one."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._process is not None:
                self._end(self._process)

    def read(self, git: Git, name: str) -> tuple[bool, bytes | None]:
        """Read a blob.

        Args:
            git: The repository.
            name: The object's name, `commit:path` for example.

        Returns:
            False and `None` if nobody uses the reader now; else True and the content, or `None` if there is no such
            blob.
        """
        with self._lock:
            if not self._users:
                return False, None
            if self._process is None:
                self._process = serve_objects(git)
            kind, content = ask_object(self._process, name) or ("", b"")
            return True, content if kind == "blob" else None

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        self._process = None
        with process:
            process.kill()


def serve_objects(git: Git) -> subprocess.Popen[bytes]:
    """Start the process that `ask_object` asks; the caller ends it."""
    return git.serve("cat-file", "--batch", "-z")


def ask_object(process: subprocess.Popen[bytes], name: str) -> tuple[str, bytes] | None:
    """Read an object.

    Args:
        process: As `serve_objects` started it.
        name: The object's name.

    Returns:
        Kind and content, or `None` if there is no such object.

    Raises:
        RepositoryError: The process has ended.
    """
    if process.stdin is None or process.stdout is None:
        raise RepositoryError("git cat-file has no pipes")
    try:
        process.stdin.write(os.fsencode(name) + b"\0")
        process.stdin.flush()
        head = process.stdout.readline()
        if not head.endswith(b"\n"):
            raise RepositoryError("git cat-file ended")
        words = head.rsplit(b" ", 2)
        if len(words) != 3 or not words[2].strip().isdigit():
            _skip_rest_of_name(process, name, head)
            return None
        size = int(words[2])
        content = process.stdout.read(size + 1)[:-1]
    except OSError as error:
        raise RepositoryError(f"git cat-file ended: {error}") from error
    return words[1].decode(), content


def _skip_rest_of_name(process: subprocess.Popen[bytes], name: str, head: bytes) -> None:
    """Pass over the lines of a missing object's name: git repeats it as it is."""
    if process.stdout is not None:
        for _ in range(os.fsencode(name).count(b"\n") - head.count(b"\n") + 1):
            process.stdout.readline()
