"""Port of sandboxes: runs one command, and ends every process of it.

Called through by the agents' `run` tool and by grading. It must not know of any backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Protocol

from phasegate.infra.sandbox.identity import Identity

OUTPUT_LIMIT = 256 * 1024
"""Bytes of output kept of one command, unless told otherwise."""


@dataclass(frozen=True)
class CommandResult:
    """Result of a command that has ended."""

    exit_code: int
    """The command's own; 128 + N when signal N ended it; 124 when time was up, as of `timeout(1)`."""
    output: str
    """Standard output and error as they came, undecodable bytes replaced; past the limit the middle is left out."""
    timed_out: bool
    duration_seconds: float
    stopped: str = ""
    """Limit that the command was stopped for exceeding; an empty string if it was not."""
    cut: bool = False
    """True if there was more output than is kept."""
    refused: tuple[str, ...] = ()
    """Connections that the proxy refused, a sentence each."""
    mended: tuple[str, ...] = ()
    """Changes of phasegate's to what the command left in its folders, a sentence each; the output ends with them."""


@dataclass(frozen=True)
class BuildCaches:
    """Caches of compilers: a command reads what is kept, and writes to a folder of its own."""

    home: Mapping[str, Path | None]
    """Kept content by its folder below HOME; `None`: nothing is kept yet."""
    written: Path
    """Takes what commands write, in a folder for each cache; emptied before each command."""
    workspace: Path | None = None
    """Compiled files that are seen in the workspace, beneath all else."""

    def place(self, folder: str) -> Path:
        """Place of what a command writes to the cache in a folder below HOME."""
        return self.written / folder.replace("/", "-")


class Sandbox(Protocol):
    """Runs one command at a time; nothing of it is left running afterwards."""

    name: ClassVar[str]
    """The backend's name in `[sandbox] backend`."""

    async def run(
        self,
        command: str | Sequence[str],
        *,
        folder: Path,
        timeout: timedelta,  # noqa: ASYNC109 - the command's own, enforced by killing it
        network: bool = False,
        environment: Mapping[str, str] | None = None,
        on_output: Callable[[str], None] | None = None,
        writable: Sequence[Path] = (),
        output_limit: int = OUTPUT_LIMIT,
        inside: Path | None = None,
        beneath: Path | None = None,
        caches: BuildCaches | None = None,
        identity: Identity | None = None,
    ) -> CommandResult:
        """Run a command and everything it starts, until it ends or time is up.

        Args:
            command: Shell text, or a program with its arguments.
            folder: The workspace: writable, and the working directory.
            timeout: Wall clock; then everything the command started is killed.
            network: True if every public host can be reached, through a proxy. No sandbox at all: the caller's network.
            environment: Variables besides those that policy lets in.
            on_output: Called with each piece of output as it comes.
            writable: Further folders that may be written.
            output_limit: Bytes of output to keep.
            beneath: Folder whose content is seen in the workspace where that has nothing of its own; what a command
                writes goes into the workspace alone. Only where `overlays_work` says so.
            caches: Caches of compilers in the command's home and workspace.
            identity: Names under which it runs; `None`, or no sandbox at all: the caller's.
            inside: Place at which the command finds the workspace; `None`, or no sandbox at all: where it is.

        Raises:
            asyncio.CancelledError: The caller was cancelled; everything the command started is dead by then.
        """
        ...
