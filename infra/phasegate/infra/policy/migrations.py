"""`[deploy.migrations]`: what counts as a migration, and the team's own commands that make one. A part of `model`."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, get_args

from pydantic import Field

from phasegate.infra.policy.base import Duration, GlobPattern, PolicyModel

MigrationClass = Literal["expand", "migrate", "contract"]
MIGRATION_CLASSES: tuple[MigrationClass, ...] = get_args(MigrationClass)


class MigrationsPolicy(PolicyModel):
    """`[deploy.migrations]`: docs/migrations.md says what each command is told, and when it runs."""

    paths: tuple[GlobPattern, ...] = ("migrations/**",)
    """Files of a change that are migrations: glob patterns, relative to the repository's root."""
    expand: str = ""
    """Adds to the schema what the release needs, before its candidate starts; empty: nobody does."""
    migrate: str = ""
    """Moves or rewrites what is stored, before the cut-over; from then on the run only goes forward."""
    contract: str = ""
    """Takes away what only the release before needs, once the release was monitored."""
    status: str = ""
    """Prints whether a migration is made; empty: it is simply run once more after a crash."""
    timeout: Duration = Field(default=timedelta(minutes=10), gt=timedelta(0))
    """Time that one of these commands may take."""

    def command_for(self, migration_class: MigrationClass) -> str:
        """The command that makes migrations of a class, or an empty string if policy names none."""
        command: str = getattr(self, migration_class)
        return command
