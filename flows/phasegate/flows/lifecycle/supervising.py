"""Holding a stage's agent to policy: its permissions, its sandbox, and the run's record of what it tried.

Called where an agent is set to work (`stages/agent.py`). It must not know what the agent is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phasegate.agents.tools import Permission, Supervision
from phasegate.agents.tools.supervision import NobodyAsked
from phasegate.flows.lifecycle.context import RunContext
from phasegate.infra.ledger import Attempt
from phasegate.infra.policy.model import StageName
from phasegate.infra.sandbox import Sandbox, open_sandbox
from phasegate.infra.secrets import Secrets


def supervise(run: RunContext, stage: StageName, row: Attempt, permission: Permission | None = None) -> Supervision:
    """What holds one attempt's agent to policy.

    Args:
        run: The run.
        stage: The agent's stage.
        row: The attempt that records are about.
        permission: What people have answered; None: nothing yet.

    Effects:
        None by itself; the tools write an event for each refusal, attempt and masked secret.
    """
    settings = run.shared.settings

    def note(kind: str, facts: Mapping[str, Any]) -> None:
        run.shared.ledger.note(run.run.id, kind, payload={"attempt": row.id, **facts})

    own = (settings.ledger, settings.threads, settings.engine_file, settings.engine_socket, settings.prefect)
    return Supervision(
        permissions=run.policy.permissions_for(stage),
        secrets=secrets_of(run),
        permission=permission or NobodyAsked(),
        record=note,
        landmarks=tuple(map(str, own)),
    )


def secrets_of(run: RunContext) -> Secrets:
    """What must not pass to a model, the ledger or an artifact: what the engine's own environment holds."""
    return Secrets.of(run.shared.environment)


def sandbox_of(run: RunContext, stage: StageName) -> Sandbox:
    """Where a stage's agent runs its commands.

    Raises:
        SandboxMissing: As `open_sandbox`.
    """
    policy = run.policy.sandbox_for(stage)
    return run.sandbox if policy == run.policy.sandbox else open_sandbox(policy, run.shared.settings.home)
