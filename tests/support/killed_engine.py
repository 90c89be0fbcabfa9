"""Engine process that is killed at a crash point, as by `kill -9` or a power cut.

The process is forked from a server that has imported everything once, so it starts in milliseconds.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from pathlib import Path

from tests.support.lifecycle import open_lifecycle

from phasegate.infra import crash_points

_PATIENCE_SECONDS = 60


def run_until_killed(folder: Path, at: str) -> int | None:
    """Run the folder's ticket in a process of its own until the crash point.

    Args:
        folder: As `write_greeter` left it.
        at: `NAME` or `NAME:N`; see `phasegate.infra.crash_points`.

    Returns:
        The exit code: minus nine if it was killed, zero if it never came to the point, None if it still runs.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_run, args=(folder, at))
    process.start()
    process.join(_PATIENCE_SECONDS)
    return process.exitcode


def _run(folder: Path, at: str) -> None:
    crash_points.arm({crash_points.CRASH_AT: at})
    asyncio.run(_run_ticket(folder))


async def _run_ticket(folder: Path) -> None:
    async with open_lifecycle(folder) as harness:
        await harness.run()
