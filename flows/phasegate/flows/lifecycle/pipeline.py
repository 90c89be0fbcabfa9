"""The pipeline, top to bottom: each line a stage, a gate or an effect. Walking it again repeats nothing done."""

from __future__ import annotations

from prefect import flow

from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.gates.gates import agreed, agreed_and_done
from phasegate.flows.lifecycle.runner import conduct
from phasegate.flows.lifecycle.signals import Breached
from phasegate.flows.lifecycle.stages import (
    author_tests,
    change_that_passes,
    deploy,
    draft_prd,
    draft_release_plan,
    fall_back,
    integrate,
    make_migrations,
    monitor,
    require_base,
)


@flow(name="lifecycle", flow_run_name="{run_id}", persist_result=False, validate_parameters=False)
async def lifecycle(run_id: str) -> None:
    """Carry an accepted run on from wherever it stands.

    Args:
        run_id: The run's id in the ledger.

    Effects:
        What the run's stages and gates do, each once; the outcome is the run's status in the ledger.
    """
    await conduct(run_id, pipeline)


async def pipeline(run: RunContext) -> None:
    """From ticket to a watched release; ends early where the policy's stages end."""
    await require_base(run)
    prd = await agreed(run, "prd", draft_prd)
    if run.ends_with("prd"):
        return

    sealed = run.beside(author_tests(run, prd), unhurried=True) if not run.ends_with("implementation") else None
    commit, change, evidence = await agreed_and_done(run, "change", change_that_passes, integrate, prd, sealed)
    if evidence is None or run.ends_with("testing"):
        return

    plan, replaced = await agreed(run, "release", draft_release_plan, change, evidence, commit)
    try:
        release = await deploy(run, plan, replaced)
    except Breached as breach:
        await fall_back(run, change, breach)
        raise
    if run.ends_with("deployment"):
        return

    await monitor(run, change, release)
    await make_migrations(run, plan, release.release_id, "contract")
