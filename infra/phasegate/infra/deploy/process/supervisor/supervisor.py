"""The program beside each service: starts it again when it dies, bounds its log and what it uses.

Started by `client`, detached, so that it outlives a `kill -9` of the engine; run as `python -I -m`, one per process
it keeps. It has to stay small: standard library only. What became of its child it writes into a report, whole or not
at all. A supervisor that dies itself leaves its child running; the next one finds that in the report and takes over.

Signals: SIGUSR1: the child was healthy once, so from now on it is started again when it dies. SIGTERM: the sender stops
the child; it is not started again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from phasegate.infra.system.cgroups import adopt, joining, new_groups, out_of_memory, removed
from phasegate.infra.system.process_table import members, row, usage
from phasegate.infra.system.spawn import MARK, spawn

STEADY_SECONDS = 60.0
"""A child that ran for so long has not died of its start: its deaths are counted from 1 again."""
_LOOK_SECONDS = 0.5
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_LEAVE_SECONDS = 15.0
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD}
_STOPPING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


@dataclass(frozen=True)
class SupervisorSpec:
    """Specification of what is kept running.

    Attributes:
        command: For `/bin/sh`.
        folder: Where it runs.
        log: Receives its output.
        report: Where its `Report` is written.
        log_bytes: How long the log may grow.
        restarts: How often in a row it is started again.
        pids: Processes at once; 0: no limit, as of the other two.
        memory: Bytes.
        open_files: Per process.
    """

    command: str
    folder: str
    log: str
    report: str
    log_bytes: int
    restarts: int
    pids: int = 0
    memory: int = 0
    open_files: int = 0


@dataclass
class SupervisorReport:
    """Report on the child.

    Attributes:
        pid: 0 before its first start.
        started: Clock ticks from boot to its start.
        trusted: True if it was healthy once.
        deaths: In a row.
        ending: How it ended the last time, in words.
        gave_up: True if it is not started again.
    """

    pid: int = 0
    started: int = 0
    trusted: bool = False
    deaths: int = 0
    ending: str = ""
    gave_up: bool = False

    def runs(self) -> bool:
        """True if the process runs at this moment."""
        process = row(self.pid) if self.pid else None
        return process is not None and not process.ended and process.started == self.started

    @classmethod
    def read(cls, path: Path) -> SupervisorReport | None:
        """The report as last written, or `None` if there is none that this version can read."""
        try:
            return cls(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):  # not there, or another version's
            return None

    def write(self, path: Path) -> None:
        """Replace it, whole or not at all."""
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(path)


@dataclass
class Supervisor:
    """Supervisor of one process of a service."""

    spec: SupervisorSpec
    report: SupervisorReport = field(default_factory=SupervisorReport)
    groups: list[Path] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)
    killed_for: str = ""
    starved: int = 0

    def run(self) -> None:
        """Keep it until it is stopped, or given up."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self.groups = new_groups(0, pids=self.spec.pids, memory=self.spec.memory)
        try:
            if not self._take_over():
                self._start()
            while self._watch():
                self._start()
        finally:
            for group in self.groups:
                removed(group)

    def _take_over(self) -> bool:
        """Take up an earlier supervisor's report.

        Returns:
            True if its child still runs.
        """
        self.report = SupervisorReport.read(Path(self.spec.report)) or self.report
        if not self.report.runs():
            return False
        adopt(self.groups, list(members(self.report.pid)))
        return True

    def _start(self) -> None:
        spec = self.spec
        limits = [f"ulimit -n {spec.open_files}"] if spec.open_files else []
        self.killed_for, self.starved = "", out_of_memory(self.groups)
        pid = spawn(
            spec.command,
            folder=Path(spec.folder),
            log=Path(spec.log),
            environment=os.environ,
            first=[*limits, "ulimit -c 0", *joining(self.groups)],
        )
        process = row(pid)
        self.since = time.monotonic()
        self.report.pid, self.report.started = pid, process.started if process else 0
        self._write()

    def _watch(self) -> bool:
        """Wait for its end.

        Returns:
            True if it has to be started again.
        """
        while (ended := self._ending()) is None:
            if self._signalled(_LOOK_SECONDS):
                self._leave()
                return False
            self._bound()
        self._end_what_is_left()
        report = self.report
        report.ending = ended
        report.deaths = 1 if time.monotonic() - self.since >= STEADY_SECONDS else report.deaths + 1
        report.gave_up = not report.trusted or report.deaths > self.spec.restarts
        self._write()
        if report.gave_up:
            if report.trusted:  # of one that never came up, the engine that waited for it tells
                self._say(f"the process {ended}; it is not started again")
            return False
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (report.deaths - 1))
        self._say(f"the process {ended}; it is started again in {pause:g} s ({report.deaths} of {self.spec.restarts})")
        return self._pause(pause)

    def _pause(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._signalled(left):
                return False
        return True

    def _signalled(self, seconds: float) -> bool:
        """Wait for a signal or for the time to pass.

        Returns:
            True if the signal is one to stop.
        """
        got = signal.sigtimedwait(_SIGNALS, seconds)
        if got is not None and got.si_signo == signal.SIGUSR1 and not self.report.trusted:
            self.report.trusted = True
            self._write()
        return got is not None and got.si_signo in _STOPPING

    def _leave(self) -> None:
        """Wait until the child, which the sender of a signal stops, has ended, so that its groups can be removed."""
        until = time.monotonic() + _LEAVE_SECONDS
        while self._ending() is None and (left := until - time.monotonic()) > 0:
            signal.sigtimedwait({signal.SIGCHLD}, min(left, _LOOK_SECONDS))

    def _ending(self) -> str | None:
        """The child's end, in words, or `None` while it runs."""
        try:
            pid, status = os.waitpid(self.report.pid, os.WNOHANG)
        except ChildProcessError:  # taken over: it is nobody's child, and its code is lost
            return None if self.report.runs() else self._words(None)
        return None if pid == 0 else self._words(os.waitstatus_to_exitcode(status))

    def _words(self, code: int | None) -> str:
        if self.killed_for:
            return f"was ended: it used {self.killed_for}"
        if out_of_memory(self.groups) > self.starved:
            return f"ran out of memory: it may use {self.spec.memory // 1024**2} MiB"
        if code is None:
            return "has ended"
        return f"exited with code {code}" if code >= 0 else f"was ended by signal {-code}"

    def _bound(self) -> None:
        log = Path(self.spec.log)
        with suppress(OSError):
            if log.stat().st_size > self.spec.log_bytes:
                rotate(log)
        if self.spec.memory or self.spec.pids:
            exceeded = usage(self.report.pid).exceeded(pids=self.spec.pids, memory=self.spec.memory)
            if exceeded and not self.killed_for:
                self.killed_for = exceeded
                self._end_what_is_left()

    def _end_what_is_left(self) -> None:
        """End all it has started, which may hold its port, by SIGKILL."""
        for pid in members(self.report.pid, f"{MARK}={os.environ.get(MARK, '')}"):
            if pid != os.getpid():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _say(self, text: str) -> None:
        with suppress(OSError), Path(self.spec.log).open("a") as log:
            log.write(f"phasegate: {text}\n")

    def _write(self) -> None:
        with suppress(OSError):  # a full disk ends no service
            self.report.write(Path(self.spec.report))


def rotate(log: Path) -> None:
    """Move a log's content aside, for the one who writes keeps it open: what was aside before is dropped."""
    with suppress(OSError):  # a full disk: then the space is needed all the more
        fresh = log.with_name(f"{log.name}.1.new")
        shutil.copyfile(log, fresh)
        fresh.replace(log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


if __name__ == "__main__":
    Supervisor(SupervisorSpec(**json.loads(sys.argv[1]))).run()
