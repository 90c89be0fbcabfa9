"""Agent run of a stage: the one way from an attempt to a draft."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from phasegate.agents.loop import Assignment, CheckpointStore, FallbackModel, run_agent
from phasegate.agents.models.client import ModelClient
from phasegate.agents.stage import Draft, StageAgent
from phasegate.agents.tools.toolbox import Toolbox
from phasegate.flows.lifecycle.agent_policy import guardrails_for, sandbox_of
from phasegate.flows.lifecycle.attempts import attempt
from phasegate.flows.lifecycle.context import RunContext
from phasegate.infra.artifacts import Artifact, sha256
from phasegate.infra.ledger import Attempt
from phasegate.infra.metrics.tables import Tables

Handed = TypeVar("Handed", bound=Draft)
Made = TypeVar("Made", bound=Artifact)


async def propose(  # noqa: PLR0913 -- each stage gives two or three of the named ones
    run: RunContext,
    agent: StageAgent[Handed],
    number: int,
    make: type[Made],
    accept: Callable[[Handed], Made],
    *,
    brief: str,
    folder: Path,
    inputs: Mapping[str, str],
    part: str = "",
    place: Callable[[Attempt], CheckpointStore] | None = None,
    protected: tuple[str, ...] = (),
    tables: Tables | None = None,
    validate_draft: Callable[[Handed], str | Awaitable[str]] = lambda _: "",
) -> Made:
    """Run an agent, and accept its draft as an artifact.

    Args:
        run: The run.
        agent: The agent.
        number: The attempt's number.
        make: The artifact's type.
        accept: Makes the artifact from the draft; called in a thread, since it may read files or the ledger.
        brief: The task of this attempt; its digest is among the inputs.
        folder: The folder that the agent sees.
        inputs: Name to digest of all that the artifact depends on.
        part: The part of the stage.
        place: The store of the files it changes; None for an agent that only reads.
        protected: Patterns of files it may not write.
        tables: The tables that `query` reads.
        validate_draft: Gives the reason to send a draft back; empty if it is accepted.

    Raises:
        As `attempt` and `phasegate.agents.loop.loop.run_agent`.
    """
    models = run.models_for(agent.stage)

    async def worked(row: Attempt) -> Made | None:
        guardrails = guardrails_for(run, agent.stage, row)

        def open_model(name: str) -> ModelClient:
            named = row.model_copy(update={"model": name})
            return run.resources.client_for(run.record, named, guardrails.masked_answer)

        toolbox = Toolbox(
            folder,
            names=agent.tools,
            sandbox=sandbox_of(run, agent.stage),
            draft=agent.draft,
            protected=protected,
            command_timeout=run.policy.sandbox_for(agent.stage).command_timeout,
            services=run.policy.project.services,
            guardrails=guardrails,
            tables=tables,
            validate_draft=validate_draft,
        )
        assignment = Assignment(
            attempt=row,
            prompt=agent.prompt,
            brief=await asyncio.to_thread(guardrails.masked, brief, "the brief"),
            draft=agent.draft,
            toolbox=toolbox,
            client=open_model(row.model),
            fallbacks=tuple(FallbackModel(name, partial(open_model, name)) for name in models if name != row.model),
            place=place(row) if place else None,
            asks=agent.asks and "ask" in run.policy.permissions_for(agent.stage).tools,
        )
        draft = await run_agent(assignment, run.agent_runtime)
        return None if draft is None else await asyncio.to_thread(accept, draft)

    return await attempt(
        run,
        agent.stage,
        number,
        make,
        worked,
        part=part,
        inputs={**inputs, "brief": sha256(brief)},
        model=models[0],
        prompt=agent.prompt_digest,
    )
