"""The pipeline, top to bottom: each line a stage, a gate or an effect. A later pass repeats nothing done."""

from __future__ import annotations

from prefect import flow

from phasegate.flows.engine.prefect_backend.executor import PrefectExecutor
from phasegate.flows.engine.wakeups import current_wakeups
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.gates.gates import produce_and_apply, produce_until_approved
from phasegate.flows.lifecycle.runner import run_lifecycle
from phasegate.flows.lifecycle.signals import Breached
from phasegate.flows.lifecycle.stages import (
    author_tests,
    change_that_passes,
    deploy,
    draft_prd,
    draft_release_plan,
    integrate,
    make_migrations,
    monitor,
    require_base,
    roll_back_release,
)


@flow(name="lifecycle", flow_run_name="{run_id}", persist_result=False, validate_parameters=False)
async def lifecycle(run_id: str) -> None:
    """Continue an accepted run from wherever it stands.

    Args:
        run_id: The run's id in the ledger.

    Effects:
        The effects of the run's stages and gates, each once; the outcome is the run's status in the ledger.
    """
    await run_lifecycle(run_id, pipeline, PrefectExecutor(current_wakeups()))


async def pipeline(run: RunContext) -> None:
    """From ticket to a watched release; ends early where the policy's stages end."""
    await require_base(run)
    prd = await produce_until_approved(run, "prd", draft_prd)
    if run.ends_with("prd"):
        return

    sealed = (
        run.background.start(author_tests(run, prd), low_priority=True) if not run.ends_with("implementation") else None
    )
    commit, change, evidence = await produce_and_apply(run, "change", change_that_passes, integrate, prd, sealed)
    if evidence is None or run.ends_with("testing"):
        return

    plan, baseline = await produce_until_approved(run, "release", draft_release_plan, change, evidence, commit)
    try:
        release = await deploy(run, plan, baseline)
    except Breached as breach:
        await roll_back_release(run, change, breach)
        raise
    if run.ends_with("deployment"):
        return

    await monitor(run, change, release)
    await make_migrations(run, plan, release.release_id, "contract")
