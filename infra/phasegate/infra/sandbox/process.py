"""Running a prepared command in a session of its own, and ending every process of it.

Called by the backends. It must not know how the command is shut in.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from phasegate.infra.errors import SandboxMissing
from phasegate.infra.sandbox.growth import Growth
from phasegate.infra.sandbox.limits import control_groups, limited, usage_exceeded
from phasegate.infra.sandbox.port import CommandResult
from phasegate.infra.system.leftovers import mend
from phasegate.infra.system.process_table import members

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    from phasegate.infra.policy.model import SandboxPolicy

_WATCH_SECONDS = 0.1
_DRAIN_SECONDS = 2.0
_KILLS = 1000
_KILL_PAUSE_SECONDS = 0.01
_CHUNK = 64 * 1024
_TIME = "time"
_TIMED_OUT = 124  # as of timeout(1)


class Transcript:
    """Output as it comes: handed on at once, kept up to a limit with the middle left out."""

    def __init__(self, limit: int, on_output: Callable[[str], None] | None) -> None:
        self._head, self._tail = bytearray(), bytearray()
        self._limit, self._dropped = limit, 0
        self._on_output = on_output
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, data: bytes) -> None:
        """Take the next bytes; none at the end."""
        if self._on_output and (text := self._decoder.decode(data, final=not data)):
            self._on_output(text)
        room = max(0, self._limit // 2 - len(self._head))
        self._head += data[:room]
        self._tail += data[room:]
        if (excess := len(self._tail) - (self._limit - self._limit // 2)) > 0:
            del self._tail[:excess]
            self._dropped += excess

    @property
    def is_cut(self) -> bool:
        """True if the middle of the output was left out."""
        return bool(self._dropped)

    def text(self) -> str:
        """All that was kept, with a note where something is missing."""
        if not self._dropped:
            return (self._head + self._tail).decode(errors="replace")
        note = f"\n[… {self._dropped} bytes left out …]\n"
        return self._head.decode(errors="replace") + note + self._tail.decode(errors="replace")


async def run_limited(
    command: Sequence[str],
    *,
    policy: SandboxPolicy,
    folder: Path,
    environment: Mapping[str, str],
    seconds: float,
    transcript: Transcript,
    writable: Sequence[Path] = (),
    mark: str = "",
    descriptors: Sequence[int] = (),
) -> CommandResult:
    """Run a command to its end, its time's end or a limit; afterwards nothing it started is running.

    Args:
        command: The program and its arguments.
        policy: The limits.
        folder: The working directory.
        environment: All that the program sees.
        seconds: Wall clock.
        transcript: Takes the output.
        writable: Further folders whose growth counts.
        mark: `NAME=value` in `environment` by which processes that left the session are found.
        descriptors: Open files that the program inherits.

    Raises:
        SandboxMissing: The program that shuts commands in does not start.
    """
    began = time.monotonic()
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
    )
    try:
        async with control_groups(policy) as groups:
            growth = Growth((folder, *writable))
            try:
                process = await asyncio.create_subprocess_exec(
                    *limited(command, policy, groups),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=write_end,
                    stderr=write_end,
                    cwd=folder,
                    env=dict(environment),
                    start_new_session=True,
                    pass_fds=descriptors,
                )
            except OSError as error:
                raise SandboxMissing(f"a command could not be started: {error}") from error
            finally:
                os.close(write_end)

            def exceeded() -> str:
                return usage_exceeded(process.pid, policy, groups) or growth.exceeded(process.pid, policy)

            stopped = await _see_through(process, _watch(exceeded), seconds, _feed(reader, transcript), mark)
            stopped = stopped or await asyncio.to_thread(exceeded)  # it may have been faster than the watch
    finally:
        pipe.close()
    duration = time.monotonic() - began
    mended = await asyncio.to_thread(mend, (folder, *writable))
    notes = "".join(f"\nphasegate: {note}" for note in mended)
    code = -signal.SIGKILL if process.returncode is None else process.returncode
    if stopped == _TIME:
        code = _TIMED_OUT
    elif stopped:
        code = code or -signal.SIGKILL  # it ended before it was stopped
    return CommandResult(
        exit_code=code if code >= 0 else 128 - code,
        output=transcript.text() + notes,
        timed_out=stopped == _TIME,
        duration_seconds=duration,
        stopped="" if stopped == _TIME else stopped,
        cut=transcript.is_cut,
        mended=mended,
    )


async def _see_through(
    process: asyncio.subprocess.Process,
    watch: Coroutine[None, None, str],
    seconds: float,
    feeding: Coroutine[None, None, None],
    mark: str,
) -> str:
    """Wait until a command ends, exceeds a limit or its time is up; then end all of its processes.

    Returns:
        The limit that it exceeded, `_TIME`, or an empty string if it ended by itself.
    """
    ending = asyncio.create_task(process.wait())
    watching = asyncio.create_task(watch)
    reading = asyncio.create_task(feeding)
    try:
        stopped = await _first(ending, watching, reading, seconds)
    finally:
        watching.cancel()
        await _end(process.pid, mark)
        await ending
        await asyncio.wait({reading}, timeout=_DRAIN_SECONDS)  # something that got away may hold the pipe open
        reading.cancel()
    if reading.done() and not reading.cancelled():
        reading.result()
    return stopped


async def _end(leader: int, mark: str) -> None:
    for _ in range(_KILLS):  # some may be starting others meanwhile
        if not _kill(leader, mark):
            return
        await asyncio.sleep(_KILL_PAUSE_SECONDS)


def _kill(leader: int, mark: str) -> bool:
    """Kill all processes of a command.

    Returns:
        True if there was one left to kill.
    """
    remaining = [process_id for process_id, process in members(leader, mark).items() if not process.ended]
    for process_id in sorted(remaining):  # a shell before its children, or it would comment on their end
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
    return bool(remaining)


async def _first(
    ending: asyncio.Task[int], watching: asyncio.Task[str], reading: asyncio.Task[None], seconds: float
) -> str:
    deadline = time.monotonic() + seconds
    pending: set[asyncio.Task[Any]] = {ending, watching, reading}
    while True:
        done, pending = await asyncio.wait(
            pending, timeout=max(0.0, deadline - time.monotonic()), return_when=asyncio.FIRST_COMPLETED
        )
        if ending in done or (reading in done and reading.exception()):
            return ""
        if watching in done:
            return watching.result()
        if not done:
            return _TIME


async def _feed(reader: asyncio.StreamReader, transcript: Transcript) -> None:
    while data := await reader.read(_CHUNK):
        transcript.add(data)
    transcript.add(b"")


async def _watch(exceeded: Callable[[], str]) -> str:
    """The limit the command exceeds, as soon as it does."""
    while True:
        reason, cost_seconds = await asyncio.to_thread(_measure, exceeded)
        if reason:
            return reason
        # the count itself gets a twentieth of one processor at most, however many processes there are
        await asyncio.sleep(max(_WATCH_SECONDS, 20 * cost_seconds))


def _measure(exceeded: Callable[[], str]) -> tuple[str, float]:
    began = time.thread_time()
    reason = exceeded()
    return reason, time.thread_time() - began
