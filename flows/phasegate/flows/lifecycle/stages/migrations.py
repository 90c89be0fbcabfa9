"""The migrations of a release: found in the change by code, said by the agent, approved by a person, made by commands.

Called by stage `deployment` when it plans and when it carries the plan out, and by the pipeline at its end.
docs/migrations.md has the order; decision 21 says why.
"""

from __future__ import annotations

from collections.abc import Iterator

from phasegate.agents.deployment import ReleasePlanDraft
from phasegate.agents.deployment import migrations as stored_data
from phasegate.flows.lifecycle.context import RunContext
from phasegate.infra.deploy.destructive import takes_away
from phasegate.infra.policy.migrations import MIGRATION_CLASSES, MigrationClass
from phasegate.infra.workspace import ChangeSet, matches
from phasegate.infra.workspace.change_set import code

_SIGNS_PER_FILE = 3


def files_of(run: RunContext, change: ChangeSet) -> tuple[str, ...]:
    """The files of a change that policy counts as migrations."""
    paths = run.policy.deploy.migrations.paths
    return tuple(file.path for file in change.files if matches(paths, file.path))


def commands_of(run: RunContext) -> dict[MigrationClass, str]:
    """What makes the migrations of each class in this run; a class that is not there is made by nobody."""
    migrations, watched = run.policy.deploy.migrations, run.ends_with("monitoring")
    commands = {name: migrations.command_for(name) for name in MIGRATION_CLASSES if name != "contract" or watched}
    return {name: command for name, command in commands.items() if command}


def signs_in(run: RunContext, draft: ReleasePlanDraft, commit: str) -> tuple[str, ...]:
    """Where a migration's file takes away what its class says it does not, a line each for the gate's page."""
    return tuple(_signs(run, draft, commit))


def _signs(run: RunContext, draft: ReleasePlanDraft, commit: str) -> Iterator[str]:
    for migration in stored_data.in_order(draft.migrations):
        if migration.phase == "contract":
            continue
        for file in migration.files:
            text = (run.repository.read_file(commit, file) or b"").decode(errors="replace")
            for number, line in takes_away(text)[:_SIGNS_PER_FILE]:
                yield f"{code(file)}, line {number}, is of class `{migration.phase}`: {code(line)}"
