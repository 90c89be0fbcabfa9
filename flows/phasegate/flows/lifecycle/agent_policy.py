"""Policy applied to a stage's agent: its permissions, its sandbox, and the run's record of what it tried.

Called by `stages/run_agent` for each agent. It must not know the agent's task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from phasegate.agents.tools.guardrails import Guardrails, Permission
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.runs.interrupt_decisions import GateDecisions
from phasegate.infra.artifacts import Artifact
from phasegate.infra.ledger import Attempt
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.policy.model import StageName
from phasegate.infra.sandbox import Sandbox, open_sandbox

Made = TypeVar("Made", bound=Artifact)


def guardrails_for(run: RunContext, stage: StageName, row: Attempt, permission: Permission | None = None) -> Guardrails:
    """Make the guardrails of one attempt's agent.

    Args:
        run: The run.
        stage: The agent's stage.
        row: The attempt that the records name.
        permission: People's answers; None for those in the ledger.

    Effects:
        None by itself; the tools write an event for each refusal, attempt and masked secret.
    """
    settings = run.settings

    def note(kind: EventKind, payload: Mapping[str, Any]) -> None:
        run.ledger.note(run.id, kind, payload={"attempt": row.id, **payload})

    own = (settings.ledger, settings.threads, settings.engine_file, settings.engine_socket, settings.prefect)
    return Guardrails(
        permissions=run.policy.permissions_for(stage),
        secrets=run.secrets,
        permission=permission or GateDecisions(run.ledger, row, run.source.original(row)),
        record=note,
        sensitive_words=tuple(map(str, own)),
    )


def without_secrets(run: RunContext, row: Attempt, artifact: Made) -> Made:
    """Mask the secrets of an artifact, so that it may be stored and shown.

    Effects:
        One event that names the masked secrets, if there are any.
    """
    masked, leaks = run.secrets.mask_all(artifact.model_dump(mode="json"))
    if not leaks:
        return artifact
    secrets = [{"kind": leak.kind, "digest": leak.digest} for leak in leaks]
    payload = {"attempt": row.id, "where": f"the {artifact.kind} it came to", "secrets": secrets}
    run.ledger.note(run.id, EventKind.SECRET_MASKED, payload=payload)
    return type(artifact).model_validate(masked)


def sandbox_of(run: RunContext, stage: StageName) -> Sandbox:
    """The sandbox of a stage's agent.

    Raises:
        SandboxMissing: As `open_sandbox`.
    """
    policy = run.policy.sandbox_for(stage)
    return run.world.sandbox if policy == run.policy.sandbox else open_sandbox(policy, run.settings.home)
