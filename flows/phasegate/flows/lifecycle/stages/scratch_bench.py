"""Test bed for a stage that runs tests on the base commit, in a folder of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from phasegate.flows.lifecycle.context import RunContext
from phasegate.infra.grading.runner.runner import Bench
from phasegate.infra.system.trees import remove_tree


@asynccontextmanager
async def scratch_bench(run: RunContext, folder: str) -> AsyncGenerator[Bench]:
    """A test bed whose folder goes with the block.

    Args:
        run: The run.
        folder: The folder's name among those of the run.
    """
    settings = run.settings
    scratch = settings.scratch / run.id / folder
    try:
        yield Bench(
            run.world.repository,
            run.policy,
            run.world.sandbox,
            scratch,
            partial(run.report_step, "testing"),
            settings.bases,
        )
    finally:
        await asyncio.to_thread(remove_tree, scratch, ignore_errors=True)
