"""Policies that `phasegate init` writes for repositories with migrations; each must load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from phasegate.infra.policy.detect.detect import detect
from phasegate.infra.policy.load import load_policy

SERVED = "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--port', type=int)\n"
BY_DEFAULT = ("migrations/**",)


@dataclass(frozen=True)
class Case:
    """A repository with a service, its files that are migrations, and whether a note says so."""

    name: str
    files: tuple[str, ...]
    paths: tuple[str, ...] = BY_DEFAULT
    noted: bool = True


CASES = [
    Case("nothing", ("README.md",), noted=False),
    Case("the default folder", ("migrations/1.sql", "migrations/2.sql")),
    Case("Alembic", ("alembic.ini", "db/env.py", "db/versions/1_a.py"), ("db/versions/**",)),
    Case("versions of something else", ("api/versions/one.py",), noted=False),
    Case("Django, one app", ("manage.py", "shop/migrations/0001_initial.py"), ("shop/migrations/**",)),
    Case("Django, many apps", tuple(f"app{n}/migrations/0001_initial.py" for n in range(6)), ("**/migrations/**",)),
    Case("Rails", ("db/migrate/20260101_add.rb",), ("db/migrate/**",)),
    Case("Prisma, a folder each", ("prisma/migrations/1_a/migration.sql",), ("prisma/migrations/**",)),
    Case("Flyway", ("src/main/resources/db/V1__people.sql",), ("src/main/resources/db/**",)),
    Case("golang-migrate", ("schema/1_people.up.sql", "schema/1_people.down.sql"), ("schema/**",)),
    Case("two places", ("migrations/1.sql", "billing/migrations/1.sql"), ("billing/migrations/**", "migrations/**")),
    Case("those of the tests", ("tests/migrations/1.sql",), noted=False),
    Case("a folder that holds something else", ("migrations/README.md",), noted=False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_where_migrations_are(case: Case, tmp_path: Path) -> None:
    for name in case.files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "app.py").write_text(SERVED)
    found = detect(tmp_path)
    assert load_policy(found.toml.encode(), source="phasegate.toml").deploy.migrations.paths == case.paths
    assert any(note.startswith("Migrations were found in ") for note in found.notes) == case.noted


def test_a_repository_that_is_not_released_from_here_is_told_nothing(tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "1.sql").write_text("")
    found = detect(tmp_path)
    assert "migrations" not in found.toml + " ".join(found.notes)
