"""Detection of the folders of a repository's migrations, as far as names tell. Used by `detect`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from phasegate.infra.policy.detect.source_tree import SourceTree

_FOLDERS = {"migrations", "migrate"}
"""Names that Django, Rails, Prisma, Knex, Ecto, Laravel, goose and dbmate give their folders."""
_SUFFIXES = (".py", ".rb", ".sql", ".js", ".ts", ".php", ".exs", ".go")
_NAMED = re.compile(r"(?:[VUR]\d*(?:[._]\d+)*__.+\.sql|.+\.(?:up|down)\.sql)")
"""Names that Flyway and golang-migrate give a file."""
_MOST = 5
_BY_DEFAULT = PurePosixPath("migrations")


@dataclass(frozen=True)
class MigrationFindings:
    """Findings about migrations.

    Attributes:
        paths: Glob patterns of the folders; empty where the default says the same, or nothing was found.
        notes: What a person should look at.
    """

    paths: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def detect_migrations(tree: SourceTree) -> MigrationFindings:
    """Look for the folders of the usual frameworks, and for files that are named as migrations are."""
    folders = sorted(set(_folders(tree)))
    outermost = [folder for folder in folders if not any(other in folder.parents for other in folders)]
    if not outermost:
        return MigrationFindings()
    shown = ", ".join(str(folder) for folder in outermost[:_MOST])
    note = (
        f"Migrations were found in {shown}. Releases name them at the gate, and nobody makes them, until "
        "[deploy.migrations] has the commands that do: expand, migrate, contract."
    )
    if outermost == [_BY_DEFAULT]:
        return MigrationFindings(notes=(note,))
    patterns = [f"{folder}/**" for folder in outermost]
    if len(patterns) > _MOST and {folder.name for folder in outermost} == {"migrations"}:  # one per app of a project
        patterns = ["**/migrations/**"]
    return MigrationFindings(tuple(patterns), (note,))


def _folders(tree: SourceTree) -> Iterator[PurePosixPath]:
    for path in tree.sources(*_SUFFIXES):
        folder = path.parent
        if _NAMED.fullmatch(path.name) and folder.parts:
            yield folder
        yield from (part for part in path.parents if part.name in _FOLDERS)
        if folder.name == "versions" and str(folder.parent / "env.py") in tree:  # Alembic's
            yield folder
