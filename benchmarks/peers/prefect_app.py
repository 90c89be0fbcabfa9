"""Stock Prefect's side: one flow, served as Prefect's guide does it. Started by `benchmarks.prefect_contender`."""

from __future__ import annotations

import os
import time
from pathlib import Path

from prefect import flow, task
from prefect.flow_runs import suspend_flow_run

TOLD = Path(os.environ["BENCHMARK_TOLD"])
HOLD = Path(os.environ["BENCHMARK_HOLD"])
_GATE_SECONDS = 3600


def tell(run: str, what: str) -> None:
    """Write down that something happened just now."""
    with TOLD.open("a") as told:
        told.write(f"{run} {what} {time.time():.6f}\n")


@task(persist_result=True)
def step(run: str, name: str, seconds: float) -> str:
    """Run a step of the pipeline; `middle` rests while HOLD is there."""
    tell(run, name)
    while name == "middle" and HOLD.exists():
        time.sleep(0.02)
    time.sleep(seconds)
    return name


@flow
def pipeline(run: str, before: list[str], after: list[str], seconds: float) -> None:
    """Some steps, a gate if anything comes after it, and what comes after it."""
    for name in before:
        step(run, name, seconds)
    if after:
        suspend_flow_run(key="gate", timeout=_GATE_SECONDS)
    for name in after:
        step(run, name, seconds)
    tell(run, "done")


if __name__ == "__main__":
    limit = int(os.environ.get("BENCHMARK_LIMIT", "0"))
    pipeline.serve(name="benchmark", limit=limit) if limit else pipeline.serve(name="benchmark")
