"""The migrations of a release: found in the change by code, said by the agent, approved by a person, made by commands.

Called by stage `deployment` when it plans and when it carries the plan out, and by the pipeline at its end.
docs/migrations.md has the order; decision 21 says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from phasegate.agents.deployment import ReleasePlan, ReleasePlanDraft
from phasegate.agents.deployment import migrations as stored_data
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.effects.migrations import route_all_traffic_to_current
from phasegate.flows.lifecycle.effects.saga import perform
from phasegate.flows.lifecycle.intent import Intent
from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.deploy.migrations.heuristics import takes_away
from phasegate.infra.deploy.migrations.migrator import MigrationStep
from phasegate.infra.errors import MigrationFailed
from phasegate.infra.policy.migrations import MIGRATION_CLASSES, MigrationClass
from phasegate.infra.workspace import ChangeSet, matches
from phasegate.infra.workspace.change_set import code

_SIGNS_PER_FILE = 3
_UNDOING: Mapping[MigrationClass, str] = {
    "expand": "leave it: the release before works with it",
    "migrate": "nothing can undo it",
    "contract": "nothing can undo it",
}


def files_of(run: RunContext, change: ChangeSet) -> tuple[str, ...]:
    """The files of a change that policy counts as migrations."""
    paths = run.policy.deploy.migrations.paths
    return tuple(file.path for file in change.files if matches(paths, file.path))


def commands_of(run: RunContext) -> dict[MigrationClass, str]:
    """Commands that make the migrations of each class in this run; a class without one is not made."""
    migrations, watched = run.policy.deploy.migrations, run.ends_with("monitoring")
    return {
        name: command
        for name in MIGRATION_CLASSES
        if (command := migrations.command_for(name)) and (name != "contract" or watched)
    }


def signs_in(run: RunContext, draft: ReleasePlanDraft, commit: str) -> tuple[str, ...]:
    """Signs that a migration's file removes more than its class says, a line each for the gate's page."""
    return tuple(_signs(run, draft, commit))


def _signs(run: RunContext, draft: ReleasePlanDraft, commit: str) -> Iterator[str]:
    for migration in stored_data.in_order(draft.migrations):
        if migration.phase == "contract":
            continue
        for file in migration.files:
            text = (run.world.repository.read_file(commit, file) or b"").decode(errors="replace")
            for number, line in takes_away(text)[:_SIGNS_PER_FILE]:
                yield f"{code(file)}, line {number}, is of class `{migration.phase}`: {code(line)}"


async def make_migrations(run: RunContext, plan: ReleasePlan, release_id: str, migration_class: MigrationClass) -> None:
    """Make the approved migrations of one class, in the plan's order.

    Raises:
        MigrationFailed: A command failed; the ones after it were not begun, and the candidate takes no traffic.

    Effects:
        One effect of the class per migration. Without a command for the class, only a progress event.
    """
    for migration in stored_data.in_order(plan.migrations):
        if migration.phase != migration_class:
            continue
        command = plan.migration_commands.get(migration_class)
        if not command:
            run.report_step(
                "deployment", f"nobody makes {migration_class} migration {migration.name!r}: there is no command"
            )
            continue
        step = MigrationStep(
            migration=migration.name,
            migration_class=migration_class,
            files=migration.files,
            command=command,
            release_id=release_id,
            commit=plan.commit,
        )
        run.report_step("deployment", f"making {migration_class} migration {migration.name!r}")
        name = f"{migration_class}-{sha256(canonical_json([migration.name, migration.files]))[-8:]}"
        try:
            await perform(run, Intent(migration_class, name, step.model_dump(mode="json"), _UNDOING[migration_class]))
        except MigrationFailed:
            await route_all_traffic_to_current(run, run.ledger.effects.list(run.id))
            raise
