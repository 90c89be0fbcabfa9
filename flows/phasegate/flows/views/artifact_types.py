"""Types of artifacts by kind, as `module:class`.

The ledger stores artifacts and knows none of their types. Code that shows one, or prints its schema, asks here. A
module is imported when its type is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from phasegate.infra.artifacts import Artifact, canonical_json

ARTIFACTS: Mapping[str, str] = {
    "ticket": "phasegate.infra.tickets.ticket:Ticket",
    "prd": "phasegate.agents.prd:Prd",
    "sealed-tests": "phasegate.infra.grading.sealed_tests:SealedTests",
    "change-set": "phasegate.infra.workspace:ChangeSet",
    "evidence": "phasegate.infra.grading.evidence:Evidence",
    "release-plan": "phasegate.agents.deployment:ReleasePlan",
    "candidate": "phasegate.infra.deploy.target:Candidate",
    "release": "phasegate.infra.deploy.target:Release",
    "health-report": "phasegate.infra.metrics.report:HealthReport",
    "incident": "phasegate.agents.monitoring:Incident",
    "overrun": "phasegate.flows.runs.interrupts:BudgetIncreaseRequest",
    "permission-request": "phasegate.flows.runs.interrupts:PermissionRequested",
}
"""Kind to `module:class`."""

DOCUMENTS: Mapping[str, str] = {
    "PrdDraft": "phasegate.agents.prd:PrdDraft",
    "ChangeDraft": "phasegate.agents.implementation:ChangeDraft",
    "TestsDraft": "phasegate.agents.testing:TestsDraft",
    "AmendmentsDraft": "phasegate.agents.testing:AmendmentsDraft",
    "CharacterizationDraft": "phasegate.agents.testing:CharacterizationDraft",
    "ReleasePlanDraft": "phasegate.agents.deployment:ReleasePlanDraft",
    "IncidentDraft": "phasegate.agents.monitoring:IncidentDraft",
    "script": "phasegate.agents.rehearsal.script:Script",
    "phasegate.toml": "phasegate.infra.policy.model:Policy",
}
"""Documents that people and agents write: drafts handed in with `finish`, the rehearsal script, the policy."""

OUTPUTS: Mapping[str, str] = {
    "run-report": "phasegate.flows.views.report:RunReport",
    "event": "phasegate.infra.ledger:Event",
    "run": "phasegate.infra.ledger:Run",
    "gate": "phasegate.infra.ledger:Gate",
    "decision": "phasegate.infra.ledger:Decision",
    "message": "phasegate.infra.ledger:Message",
    "question": "phasegate.infra.ledger:Question",
}
"""Documents of `--json`: of `show`, `run`, `watch` and the requests; of a line of `logs`; of a row of `runs` and
`status`; of `approve` and its like; of `steer` and `answer`. A document may have more keys than its type."""


def load(place: str) -> type[BaseModel]:
    """The class at `module:class`."""
    module, _, name = place.partition(":")
    model = getattr(importlib.import_module(module), name)
    assert isinstance(model, type), place  # noqa: S101  the tables above are ours
    assert issubclass(model, BaseModel), place  # noqa: S101  as above
    return model


def markdown(kind: str, content: Mapping[str, Any]) -> str:
    """An artifact's stored content as a person reads it, or its JSON if its type cannot read it (any more)."""
    artifact_type = load(ARTIFACTS[kind]) if kind in ARTIFACTS else Artifact
    if issubclass(artifact_type, Artifact) and artifact_type is not Artifact:
        try:
            return artifact_type.from_canonical(canonical_json({"kind": kind, **content})).markdown()
        except ValueError:
            pass  # written by another version: shown as it is stored
    return f"```json\n{canonical_json(content)}\n```\n"


def schemas() -> dict[str, dict[str, Any]]:
    """Name to JSON Schema of every artifact, draft, file and output."""
    artifacts = [load(place).model_json_schema() for place in ARTIFACTS.values()]
    documents = {name: load(place).model_json_schema() for name, place in {**DOCUMENTS, **OUTPUTS}.items()}
    return {str(schema["title"]): schema for schema in artifacts} | documents
