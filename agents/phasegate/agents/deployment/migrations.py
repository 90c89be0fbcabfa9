"""Migrations in a release plan: the agent's statements about stored data, and their page for the approver.

Used by the deployment agent alone. Policy decides which files count, not the agent. A migration's class decides whether
a rollback is possible after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from pydantic import ConfigDict, Field

from phasegate.agents.stage import Draft, bullets, section
from phasegate.infra.policy.migrations import MIGRATION_CLASSES, MigrationClass
from phasegate.infra.workspace.change_set import code

PIVOTS: Collection[MigrationClass] = ("migrate", "contract")
"""The classes after which there is no way back."""
_WHEN: Mapping[MigrationClass, str] = {
    "expand": "before the candidate starts",
    "migrate": "before the cut-over",
    "contract": "once the release was monitored",
}
_NO_WAY_BACK = "no: from then on only forward"
_GOING_BACK: Mapping[MigrationClass, str] = {
    "expand": "yes; the schema stays expanded",
    "migrate": _NO_WAY_BACK,
    "contract": _NO_WAY_BACK,
}


class Migration(Draft):
    """A change to stored data or schema; what it does cannot be undone by rolling back."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    name: str
    """What is migrated."""
    phase: MigrationClass = Field(alias="class")
    """Its class, as in expand-migrate-contract."""
    files: tuple[str, ...] = ()
    """The files of the change that make it."""


class NoMigration(Draft):
    """A file that lies where migrations do, and migrates nothing."""

    file: str
    """Its path."""
    reason: str = Field(min_length=1)
    """Why it is none."""


def in_order(migrations: Iterable[Migration]) -> list[Migration]:
    """Migrations as they are made: by class, and as the plan has them within one."""
    return sorted(migrations, key=lambda migration: MIGRATION_CLASSES.index(migration.phase))


def unnamed(files: Sequence[str], migrations: Iterable[Migration], none: Iterable[NoMigration]) -> list[str]:
    """The files of a change that count as migrations and that a plan says nothing about."""
    named = {file for migration in migrations for file in migration.files} | {exemption.file for exemption in none}
    return [file for file in files if file not in named]


def validate_migrations(files: Sequence[str], migrations: Iterable[Migration], none: Iterable[NoMigration]) -> str:
    """Check that a plan names each file that policy counts as a migration.

    Returns:
        The reason for sending the plan back to the agent, or an empty text if the plan is complete.
    """
    missing = unnamed(files, migrations, none)
    if not missing:
        return ""
    return (
        "policy counts these files of the change as migrations, and the plan says nothing about them: "
        f"{', '.join(missing)}. Name each under `files` of a migration, or under `no_migrations` with the reason."
    )


def plan_text(files: Sequence[str], commands: Mapping[MigrationClass, str]) -> str:
    """The part of the brief about migrations, or an empty text if the change has none."""
    if not files:
        return ""
    makers = (
        f"- {name}: {f'by `{commands[name]}`' if name in commands else 'by nobody'}" for name in MIGRATION_CLASSES
    )
    listed = "\n".join(f"- {file}" for file in files)
    return section(
        "migrations", f"Files that policy counts as migrations:\n{listed}\nMade, once approved:\n" + "\n".join(makers)
    )


def shown(
    files: Sequence[str],
    migrations: Sequence[Migration],
    none: Sequence[NoMigration],
    commands: Mapping[MigrationClass, str],
    signs: Sequence[str],
) -> str:
    """The part of the gate's page about migrations, in Markdown, or an empty text if there are none.

    Args:
        files: The change's files that policy counts as migrations.
        migrations: The plan's migrations.
        none: Files that, by the plan, migrate nothing.
        commands: The command that makes the migrations of a class. Without one, they are not made.
        signs: Statements in a file that contradict its class.
    """
    rows = [_row(migration, commands.get(migration.phase, "")) for migration in in_order(migrations)]
    table = ["| class | what | made by | going back |", "| --- | --- | --- | --- |", *rows] if rows else []
    pivots = [name for name in PIVOTS if name in commands and any(migration.phase == name for migration in migrations)]
    head = (
        f"**Once `{pivots[0]}` is made there is no way back: what goes wrong then is mended forward.**"
        if pivots
        else ""
    )
    named = [f"- `{migration.phase}`: {code(file)}" for migration in in_order(migrations) for file in migration.files]
    parts = [part for part in (head, "\n".join(table), "\n".join(named)) if part]
    text = "\n### Migrations\n\n" + "\n\n".join(parts) + "\n" if parts else ""
    missing = unnamed(files, migrations, none)
    return (
        text
        + bullets("Its files say more than its class", tuple(signs))
        + bullets("Migrations by policy, about which the plan says nothing", tuple(code(file) for file in missing))
        + bullets(
            "Migrations by policy, which migrate nothing as the agent says",
            tuple(f"{code(exemption.file)}: {exemption.reason}" for exemption in none),
        )
    )


def _row(migration: Migration, command: str) -> str:
    maker = f"{code(command)}, {_WHEN[migration.phase]}" if command else "**nobody**: policy has no command that is run"
    back = _GOING_BACK[migration.phase] if command else "not held back: phasegate does not know when it is made"
    return f"| `{migration.phase}` | {_cell(migration.name)} | {maker} | {back} |"


def _cell(text: str) -> str:
    """Untrusted text that stays in its cell."""
    return " ".join(text.split()).replace("|", "¦")
