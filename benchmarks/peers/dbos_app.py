"""DBOS's side, on SQLite: one workflow, taken from a queue. Started by `benchmarks.dbos_contender`."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path

from dbos import DBOS, DBOSConfig

TOLD = Path(os.environ["BENCHMARK_TOLD"])
HOLD = Path(os.environ["BENCHMARK_HOLD"])
_GATE_SECONDS = 3600.0

DBOS(
    config=DBOSConfig(
        name="benchmark",
        system_database_url=os.environ["BENCHMARK_DATABASE"],
        executor_id="benchmark",
        run_admin_server=False,
        log_level="WARNING",
    )
)


def tell(run: str, what: str) -> None:
    """Write down that something happened just now."""
    with TOLD.open("a") as told:
        told.write(f"{run} {what} {time.time():.6f}\n")


@DBOS.step()
async def step(run: str, name: str, seconds: float) -> str:
    """Run a step of the pipeline; `middle` rests while HOLD is there."""
    tell(run, name)
    while name == "middle" and HOLD.exists():  # noqa: ASYNC110, ASYNC240 -- the only way in is a file
        await asyncio.sleep(0.02)
    await asyncio.sleep(seconds)
    return name


@DBOS.workflow(name="pipeline")
async def pipeline(run: str, before: list[str], after: list[str], seconds: float) -> None:
    """Some steps, a gate if anything comes after it, and what comes after it."""
    for name in before:
        await step(run, name, seconds)
    if after:
        tell(run, "gate")
        await DBOS.recv_async("gate", timeout_seconds=_GATE_SECONDS)
    for name in after:
        await step(run, name, seconds)
    tell(run, "done")


if __name__ == "__main__":
    DBOS.launch()
    DBOS.register_queue("benchmark")
    tell("-", "ready")
    threading.Event().wait()
