"""A flow with one step and one gate for the engine's tests, which talk with it by files in TINY_FOLDER/<run>."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from prefect import flow, task

from phasegate.flows.engine.engine import Engine
from phasegate.flows.engine.prefect_backend.gate_wait import wait_at_gate
from phasegate.flows.engine.wakeups import current_wakeups
from phasegate.infra.settings import Settings


def folder_of(run_id: str) -> Path:
    return Path(os.environ["TINY_FOLDER"]) / run_id


def tell(run_id: str, what: str) -> None:
    with (folder_of(run_id) / "told").open("a") as told:
        told.write(f"{what} {time.time():.4f}\n")


@task
async def step(run_id: str) -> None:
    tell(run_id, "step")
    while (folder_of(run_id) / "hold").exists():  # noqa: ASYNC110 -- the test's only way in is a file
        await asyncio.sleep(0.02)


@flow(name="tiny")
async def tiny(run_id: str) -> None:
    settings = Settings.from_environment(os.environ)
    if run_id.startswith("cold"):
        settings = replace(settings, hot_gate=timedelta(0))
    if run_id.startswith("short"):
        settings = replace(settings, hot_gate=timedelta(seconds=0.5))
    await step(run_id)
    if run_id.startswith("bad"):
        raise ValueError("as asked")
    tell(run_id, "gate")
    await wait_at_gate(
        "gate:tiny",
        run_id=run_id,
        decided=(folder_of(run_id) / "decided").exists,
        wakeups=current_wakeups(),
        settings=settings,
    )
    tell(run_id, "done")


async def outbox(engine: Engine) -> None:
    """A background service: a flow run for every folder that asks for one."""
    while True:
        for asked in Path(os.environ["TINY_FOLDER"]).glob("*/ask"):  # noqa: ASYNC240 -- as above
            run_id = asked.parent.name
            await engine.create_flow_run(run_id, idempotency_key=run_id, name=run_id, tags=["tiny"])
            asked.unlink()
        await asyncio.sleep(0.05)
