"""Processes as a benchmark sees them: started in a group of their own, weighed, and ended with all that they started.

Reads /proc, so Linux only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_KIB_PER_MIB = 1024


@dataclass(frozen=True)
class Weight:
    """Memory of some processes. Sizes in MiB; PSS counts shared pages once."""

    count: int
    rss: float
    pss: float


def spawn(command: Sequence[str], *, env: Mapping[str, str], log: Path, cwd: Path) -> subprocess.Popen[str]:
    """Start a program in a process group of its own, with its output in a log."""
    with log.open("a") as output:
        return subprocess.Popen(
            command, env=dict(env), stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=cwd,
            start_new_session=True, text=True,
        )  # fmt: skip


def kill(process: subprocess.Popen[str], number: int = signal.SIGKILL, *, seconds: float = 20) -> None:
    """Signal a program and all it started, and wait until it is gone; by force when it does not go."""
    family = [process.pid, *descendants(process.pid)]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pid in family[1:]:  # a child may have made a group of its own
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            children += map(int, task.read_text().split())
    return children + [deeper for child in children for deeper in descendants(child)]


def weigh(roots: Iterable[int], *, alone: bool = False) -> Weight:
    """Memory of these processes now, with all they started unless they are weighed alone."""
    pids = {pid for root in roots for pid in (root, *(() if alone else descendants(root)))}
    sums = {"Rss": 0, "Pss": 0}
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name = line.partition(":")[0]
                if name in sums:
                    sums[name] += int(line.split()[1])
    return Weight(len(pids), round(sums["Rss"] / _KIB_PER_MIB, 1), round(sums["Pss"] / _KIB_PER_MIB, 1))


def until(ready: Callable[[], object], *, seconds: float, what: str, step: float = 0.02) -> None:
    """Wait for a state.

    Raises:
        TimeoutError: It did not come.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still waiting for {what} after {seconds:.0f} s")
        time.sleep(step)
